"""Times the bake: against the plain Python version on the same input, and how time and memory grow with the genome.

    python benchmarks/bake.py DATA --tokenizer PATH [--sizes 1,12,120] [--repeats 5] [--peer]

DATA is the folder of real genomes (`genomes/` below it). Sizes are in Mb; 12 is yeast, others are yeast cut short or
joined with itself under new names. Every run is a process of its own; printed are medians and the peak memory.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
GENOME = "saccharomyces_cerevisiae_ncbi"


def measure(command, environment):
    """Wall seconds, CPU seconds and peak memory in MB of a process."""
    start = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    error = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{error.decode()}")
    return time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1000


def median(command, environment, repeats):
    runs = [measure(command, environment) for _ in range(repeats)]
    return tuple(statistics.median(run[i] for run in runs) for i in range(3))


def make_input(data, folder, megabases, compress):
    """Yeast of about that size: its first sequences, or itself several times under other names."""
    source = data / "genomes" / GENOME
    fasta = gzip.decompress((source / "genome.fna.gz").read_bytes()).decode()
    gff = gzip.decompress((source / "genes.gff3.gz").read_bytes()).decode()
    records = [">" + record for record in fasta.split(">")[1:]]
    copies = max(1, round(megabases / 12))
    wanted, kept, seqids = megabases * 1_000_000, [], set()
    for record in records:
        if copies > 1 or megabases >= 12 or sum(map(len, kept)) < wanted:
            kept.append(record)
            seqids.add(record[1:].split()[0])
    rows = [row for row in gff.splitlines() if not row.startswith("#") and row.split("\t")[0] in seqids]
    folder.mkdir(parents=True)
    suffix = ".gz" if compress else ""

    def opened(path):
        return gzip.open(path, "wt", compresslevel=6) if compress else path.open("w")

    with opened(folder / f"genome.fna{suffix}") as out:
        for copy in range(copies):
            for record in kept:
                out.write(re.sub(r"^>(\S+)", rf">\g<1>_{copy}", record))
    with opened(folder / f"genes.gff3{suffix}") as out:
        out.write("##gff-version 3\n")
        for copy in range(copies):
            for row in rows:
                seqid, rest = row.split("\t", 1)
                rest = re.sub(r"((?:ID|Parent)=)([^;]+)", rf"\g<1>{copy}_\g<2>", rest)
                out.write(f"{seqid}_{copy}\t{rest}\n")
    return folder


def simulate(folder, megabases, genes, chromosomes=24):
    """A genome of random bases with spliced genes, as large as asked: plain FASTA, GFF3."""
    import numpy as np

    rng = np.random.default_rng(0)
    letters, complement = np.frombuffer(b"ACGT", np.uint8), np.zeros(256, np.uint8)
    complement[letters] = letters[::-1]
    codons = np.array([[a, b, c] for a in b"ACGT" for b in b"ACGT" for c in b"ACGT"], np.uint8)
    codons = codons[[bytes(codon) not in (b"TAA", b"TAG", b"TGA") for codon in codons]]
    length = round(megabases * 1e6 / chromosomes)
    folder.mkdir(parents=True)
    with (folder / "genome.fna").open("wb") as fasta, (folder / "genes.gff3").open("w") as gff:
        gff.write("##gff-version 3\n")
        for chromosome in range(chromosomes):
            bases = letters[rng.integers(0, 4, length, np.uint8)]
            step = length // (genes // chromosomes)
            for number in range(genes // chromosomes):
                start, forward = number * step + step // 8, rng.random() < 0.5
                coding = np.concatenate(
                    [
                        np.frombuffer(b"ATG", np.uint8),
                        codons[rng.integers(0, 61, 480)].ravel(),
                        np.frombuffer(b"TGA", np.uint8),
                    ]
                )
                ends = np.append(
                    np.sort(rng.choice(np.arange(30, len(coding) - 30, 12), 7, replace=False)), len(coding)
                )
                at, done, parts = 0, 0, []
                for end in ends:
                    if done:
                        intron = int(rng.exponential(step / 24)) + 60
                        at += intron
                    parts.append((at, at + end - done, coding[done:end]))
                    at, done = at + end - done, end
                gene = letters[rng.integers(0, 4, at, np.uint8)]
                for a, b, exon in parts:
                    gene[a:b] = exon
                for (_, b, _), (a, _, _) in itertools.pairwise(parts):
                    gene[b : b + 2], gene[a - 2 : a] = (71, 84), (65, 71)
                if start + at + 1000 > (number + 1) * step:
                    continue
                bases[start : start + at] = gene if forward else complement[gene[::-1]]
                strand, name = "+" if forward else "-", f"g{chromosome}_{number}"
                row = f"chr{chromosome}\tsimulated\t%s\t%d\t%d\t.\t{strand}\t%s\t%s\n"
                gff.write(row % ("gene", start + 1, start + at, ".", f"ID={name};gene_biotype=protein_coding"))
                gff.write(row % ("mRNA", start + 1, start + at, ".", f"ID={name}.t;Parent={name}"))
                done = 0
                for a, b, _ in parts:
                    left, right = (a, b) if forward else (at - b, at - a)
                    place = (start + left + 1, start + right)
                    gff.write(row % ("exon", *place, ".", f"Parent={name}.t"))
                    gff.write(row % ("CDS", *place, -done % 3, f"ID={name}.c;Parent={name}.t"))
                    done += b - a
            fasta.write(b">chr%d\n" % chromosome)
            for at in range(0, length, 60_000_000):
                block = bases[at : at + 60_000_000]
                whole = block[: len(block) // 60 * 60].reshape(-1, 60)
                fasta.write(np.hstack([whole, np.full((len(whole), 1), 10, np.uint8)]).tobytes())
                rest = block[len(whole) * 60 :].tobytes()
                fasta.write(rest + b"\n" if rest else b"")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--tokenizer", type=Path, required=True, help="tokenizer.json with the tokens of the language")
    parser.add_argument("--sizes", default="1,12,120", help="Mb, separated by commas")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--peer", action="store_true", help="time the plain Python version too")
    parser.add_argument("--plain", action="store_true", help="input without compression")
    parser.add_argument(
        "--simulate", type=float, default=0, metavar="MB", help="instead: one random genome of so many Mb"
    )
    parser.add_argument("--genes", type=int, default=20_000, help="its genes")
    parser.add_argument("--scratch", type=Path, help="folder for input and output (default: the system's)")
    options = parser.parse_args()
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "python")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # installed packages have their bytecode
    print("| Mb | version | s (median) | CPU s | Mb/s | peak MB | ratio |")
    print("| ---: | --- | ---: | ---: | ---: | ---: | ---: |")
    with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
        scratch = Path(scratch)
        if options.simulate:
            simulate(scratch / "raw" / "vertebrates" / "simulated", options.simulate, options.genes)
            command = [sys.executable, ROOT / "bin" / "bake_data", "--raw_dir", scratch / "raw", "--n_workers"]
            command += [str(options.workers), "--output_dir", scratch / "out", "--tokenizer", options.tokenizer]
            wall, cpu, memory = median(command, environment, options.repeats)
            row = f"{wall:.2f} | {cpu:.2f} | {options.simulate / wall:.1f} | {memory:.0f}"
            print(f"| {options.simulate:g} | genet5 bake | {row} | |")
            return
        for size in map(float, options.sizes.split(",")):
            raw = scratch / f"raw{size:g}"
            folder = make_input(options.data, raw / "saccharomyces_cerevisiae", size, not options.plain)
            genome, annotation = sorted(folder.glob("genome*"))[0], sorted(folder.glob("genes*"))[0]
            output = scratch / "out"
            ours = [
                *(sys.executable, ROOT / "bin" / "bake_data", "--raw_dir", raw, "--output_dir", output),
                *("--tokenizer", options.tokenizer, "--window_size", "10000", "--n_workers", str(options.workers)),
            ]
            peer_seconds = None
            if options.peer:
                peer = [sys.executable, ROOT / "benchmarks" / "peers" / "plain_bake.py", genome, annotation]
                peer += [options.tokenizer, scratch / "plain"]
                wall, cpu, memory = median(peer, environment, options.repeats)
                peer_seconds = wall
                print(f"| {size:g} | plain Python | {wall:.2f} | {cpu:.2f} | {size / wall:.2f} | {memory:.0f} | 1 |")
            wall, cpu, memory = median(ours, environment, options.repeats)
            ratio = f"{peer_seconds / wall:.1f}" if peer_seconds else ""
            print(
                f"| {size:g} | genet5 bake | {wall:.3f} | {cpu:.3f} | {size / wall:.1f} | {memory:.0f} | {ratio} |",
                flush=True,
            )
            shutil.rmtree(output)
            shutil.rmtree(raw)


if __name__ == "__main__":
    main()
