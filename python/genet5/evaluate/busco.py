"""BUSCO (Manni et al. 2021) in protein mode on predicted genes, where it is installed."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from genet5 import _core
from genet5.errors import GeneT5Error, InputError, UnavailableError

HOW_TO_INSTALL = (
    "BUSCO is not installed (no 'busco' on PATH): install it with 'conda install -c bioconda busco' or "
    "'apt install busco', or use its container; then run this command again"
)


@dataclass(frozen=True)
class BuscoResult:
    """Shares of the lineage's genes in percent, and their number."""

    complete: float
    single: float
    duplicated: float
    fragmented: float
    missing: float
    total: int


def parse_summary(text: str) -> BuscoResult:
    """Read the one-line notation of a BUSCO summary, as in ``C:98.5%[S:97.0%,D:1.5%],F:0.5%,M:1.0%,n:255``.

    Raises:
        genet5.errors.InputError: The text has no such line.
    """
    found = re.search(r"C:([\d.]+)%\[S:([\d.]+)%,D:([\d.]+)%\],F:([\d.]+)%,M:([\d.]+)%(?:,E:[\d.]+%)?,n:(\d+)", text)
    if found is None:
        raise InputError("the BUSCO summary has no line like 'C:..%[S:..%,D:..%],F:..%,M:..%,n:..'")
    complete, single, duplicated, fragmented, missing = (float(value) for value in found.groups()[:5])
    return BuscoResult(complete, single, duplicated, fragmented, missing, total=int(found.group(6)))


def run_busco(
    predictions: str | Path,
    lineage: str,
    genome: str | Path | None = None,
    threads: int = 1,
    genetic_code: int | None = None,
    output: str | Path | None = None,
) -> BuscoResult:
    """Run BUSCO on predicted proteins.

    Args:
        predictions: GFF3 file of genes (then ``genome`` is needed), or a protein FASTA.
        lineage: A lineage's name (``fungi_odb10``; BUSCO downloads it) or the folder of one.
        genome: FASTA of the genome that ``predictions`` annotates.
        threads: Threads of BUSCO.
        genetic_code: NCBI code; the annotation's own, or 1, where not given.
        output: Folder that keeps BUSCO's own output; none is kept where not given.

    Raises:
        genet5.errors.UnavailableError: BUSCO is not installed.
        genet5.errors.InputError: A gene file without its genome, or no protein at all.
        genet5.errors.GeneT5Error: BUSCO failed; the message has its last words.
    """
    program = shutil.which("busco")
    if program is None:
        raise UnavailableError(HOW_TO_INSTALL)
    if output is not None and Path(output).exists():
        raise InputError(f"{output} exists; give another folder or remove it")
    with tempfile.TemporaryDirectory(prefix="genet5-busco-") as folder:
        proteins = Path(folder) / "proteins.fa"
        if genome is not None:
            sequences = _core.Genome.read(genome)
            annotation = _core.Annotation.read(predictions).check_against(sequences)
            annotation.write_proteins(proteins, sequences, genetic_code)
        else:
            # No byte of a FASTA record's start is anything but '>'; GFF3 has no proteins in it.
            with Path(predictions).open("rb") as file:
                first = file.read(1)
            if first != b">":
                raise InputError(f"{predictions} is no protein FASTA: give the genome with --genome to translate it")
            shutil.copyfile(predictions, proteins)
        write_without_stops(proteins)
        command = [program, "-i", str(proteins), "-m", "proteins", "-l", lineage, "-o", "run"]
        command += ["-c", str(threads), "--out_path", folder]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
        summaries = sorted(Path(folder).glob("run/short_summary*.txt"))
        if done.returncode != 0 or not summaries:
            words = (done.stderr.strip() or done.stdout.strip()).splitlines()
            raise GeneT5Error(f"BUSCO failed: {words[-1] if words else f'exit code {done.returncode}'}")
        result = parse_summary(summaries[0].read_text())
        if output is not None:
            shutil.copytree(Path(folder) / "run", output)
    return result


def write_without_stops(proteins: Path) -> None:
    """Rewrite a protein FASTA without `*`, which HMMER does not take; raise InputError where it has no protein."""
    lines = proteins.read_text().splitlines()
    if not any(line.startswith(">") for line in lines):
        raise InputError("the predictions hold no protein")
    text = "\n".join(line if line.startswith(">") else line.replace("*", "") for line in lines)
    proteins.write_text(text + "\n")


def as_json(result: BuscoResult) -> str:
    """One JSON object with the fields of the result."""
    return json.dumps(vars(result), indent=2) + "\n"
