"""A genome file in, gene models out."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch

from genet5._core import (
    Annotation,
    GeneDecoder,
    Genome,
    Tokenizer,
    concat_annotations,
    default_gene_parameters,
)
from genet5.errors import InputError, UnavailableError
from genet5.model.loading import load_model
from genet5.predict.evidence import Evidence, EvidenceReader

GENE_PARAMETERS = "gene_parameters.json"
# Windows of a model whose training does not say: the recipe's.
DEFAULT_WINDOW = 10_000


@dataclass(frozen=True)
class PredictionOptions:
    """How a genome is annotated; what is None follows the model or the machine (`genet5 predict --help`)."""

    taxon: str | None = None
    genetic_code: int | None = None
    code_for: Mapping[str, int] = field(default_factory=dict)
    seqids: list[str] | None = None
    circular: frozenset[str] = frozenset()
    min_score: float = 0.0
    window_size: int | None = None
    overlap: int | None = None
    batch_bases: int | None = None
    device: str | None = None
    precision: str = "auto"
    threads: int | None = None


def model_directory(path: Path) -> Path:
    """The folder to load a model from: `path`, or its `best` where it is a run's folder."""
    for candidate in (path, path / "best"):
        if (candidate / "config.json").is_file():
            return candidate
    if not path.exists():
        raise InputError(f"{path} does not exist: name the folder of a model (`genet5 init` makes one)")
    raise InputError(f"{path} holds no model (no config.json): name a folder that `genet5 init` or a run made")


def gene_parameters(directory: Path, taxon: str | None) -> str:
    """The JSON of a model's gene parameters: fitted ones where the model has them for the taxon, else its defaults."""
    paths = [directory / GENE_PARAMETERS]
    if taxon is not None:
        paths.insert(0, directory / f"gene_parameters.{taxon}.json")
    for path in paths:
        if path.is_file():
            text = path.read_text()
            try:
                if taxon is None or json.loads(text)["taxon"] == taxon:
                    return GeneDecoder(text).parameters
            except (KeyError, TypeError, json.JSONDecodeError) as error:
                raise InputError(
                    f"{path}: not a file of gene parameters ({error}); `genet5 init` writes one"
                ) from error
    if taxon is None:
        raise InputError(f"{directory} has no {GENE_PARAMETERS}: name the genome's taxon with --taxon")
    return default_gene_parameters(taxon)


def annotate_file(
    genome_path: Path,
    model_path: Path,
    output: Path,
    options: PredictionOptions | None = None,
    *,
    protein: Path | None = None,
    cds: Path | None = None,
    annotator: Callable[[Genome, Path, PredictionOptions], Annotation] | None = None,
) -> Annotation:
    """Annotate a genome file and write GFF3 (and FASTA of proteins and CDS); each file appears whole or not at all.

    `annotator` makes the annotation, by default :func:`annotate`.

    Raises InputError where options do not fit the genome or the model, FormatError for a file that is not a genome,
    UnavailableError where the device is not there, OSError where a file cannot be read or written.
    """
    options = options or PredictionOptions()
    for path in (output, protein, cds):
        if path is not None:
            _check_writable(path)
    genome = Genome.read(genome_path)
    directory = model_directory(model_path)
    annotation = (annotator or annotate)(genome, directory, options)
    annotation.write_gff3(output)
    codes = {seqid: genetic_code_of(seqid, options, directory) for seqid in genome.ids}
    if protein is not None:
        annotation.write_proteins(protein, genome, codes=codes)
    if cds is not None:
        annotation.write_cds(cds, genome)
    tell(f"{len(annotation):,} genes: {output}")
    if len(annotation) == 0:
        tell("warning: no gene was found; is this the right model, taxon and genetic code?")
    return annotation


@dataclass(frozen=True)
class Reading:
    """A genome and a model that is ready to read evidence of its sequences."""

    genome: Genome
    directory: Path
    options: PredictionOptions
    parameters: str
    reader: EvidenceReader
    sequences: list[str]

    def circular(self, seqid: str) -> bool:
        """Whether the genome or the options say that a sequence is circular."""
        return seqid in self.options.circular or self.genome.circular[self.genome.ids.index(seqid)]

    def length(self, seqid: str) -> int:
        """Length of a sequence in bp."""
        return self.genome.lengths[self.genome.ids.index(seqid)]

    def genetic_code(self, seqid: str) -> int:
        """NCBI number of a sequence's genetic code."""
        return genetic_code_of(seqid, self.options, self.directory)

    def progress(self) -> Progress:
        """A report of progress over all sequences."""
        return Progress(sum(self.length(seqid) for seqid in self.sequences))

    def evidence(self, seqid: str, progress: Progress) -> Iterator[Evidence]:
        """Evidence of one sequence from left to right."""
        yield from self.reader.read(self.genome.sequence(seqid), self.circular(seqid), progress.within(seqid))


def open_model(genome: Genome, directory: Path, options: PredictionOptions) -> Reading:
    """Check the options against the genome and load the model."""
    wanted = _wanted_sequences(genome, options)
    parameters = gene_parameters(directory, options.taxon)
    if not json.loads(parameters)["fitted"]:
        tell("warning: the model has not been trained (its gene parameters were never fitted): `genet5 finetune` does")
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    device = choose_device(options.device)
    model = load_model(directory, device)
    window_size = options.window_size or getattr(model.config, "window_size", None) or DEFAULT_WINDOW
    reader = EvidenceReader(
        model,
        Tokenizer(directory),
        window_size=window_size,
        overlap=window_size // 5 if options.overlap is None else options.overlap,
        batch_bases=options.batch_bases or (1_048_576 if device.type == "cuda" else 65_536),
        bf16=options.precision == "bf16" or (options.precision == "auto" and device.type == "cuda"),
    )
    sequences = [seqid for seqid in genome.ids if seqid in wanted]
    return Reading(genome, directory, options, parameters, reader, sequences)


def annotate(genome: Genome, directory: Path, options: PredictionOptions) -> Annotation:
    """Gene models of a genome's sequences with the model in `directory`."""
    reading = open_model(genome, directory, options)
    decoder = GeneDecoder(reading.parameters)
    progress = reading.progress()
    parts = []
    for seqid in reading.sequences:
        sequence = genome.sequence(seqid)
        stream = decoder.stream(seqid, sequence, reading.genetic_code(seqid), reading.circular(seqid))
        for part in reading.evidence(seqid, progress):
            stream.push(part.classes, part.signals)
        parts.append(stream.finish(options.min_score))
        progress.finish(seqid, len(sequence), f"{len(parts[-1]):,} genes")
    return concat_annotations(parts)


def genetic_code_of(seqid: str, options: PredictionOptions, directory: Path) -> int:
    """NCBI number of a sequence's genetic code: its own, the genome's, or the taxon's (11 for prokaryotes, else 1)."""
    if seqid in options.code_for:
        return options.code_for[seqid]
    if options.genetic_code is not None:
        return options.genetic_code
    program = json.loads(gene_parameters(directory, options.taxon))["program"]
    return 11 if program == "prokaryotes" else 1


def choose_device(name: str | None) -> torch.device:
    """The device by name, by default a GPU where there is one; asking for one that is not there is an error."""
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError(f"--device {name}: no such kind of device; use cpu, cuda or cuda:N") from error
    if device.type == "cuda" and not (torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count()):
        raise UnavailableError(f"--device {name}: this machine has no such GPU; leave --device out for what there is")
    return device


def _wanted_sequences(genome: Genome, options: PredictionOptions) -> set[str]:
    known = set(genome.ids)
    for flag, names in (
        ("--seqids", options.seqids or []),
        ("--circular", options.circular),
        ("--code_for", options.code_for),
    ):
        unknown = [name for name in names if name not in known]
        if unknown:
            raise InputError(
                f"{flag} names {', '.join(unknown)}, which the genome lacks; it has {', '.join(genome.ids[:5])}"
                + (", ..." if len(genome.ids) > 5 else "")
            )
    return set(options.seqids) if options.seqids is not None else known


def _check_writable(path: Path) -> None:
    """Refuse an output before hours of work, not after."""
    folder = path.parent
    if path.is_dir():
        raise InputError(f"{path} is a folder: name a file")
    if not folder.is_dir():
        raise InputError(f"{folder} does not exist: make the folder first, or name another for {path.name}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"{folder} cannot be written: name another folder for {path.name}")


def tell(text: str) -> None:
    """Say something on stderr."""
    print(text, file=sys.stderr, flush=True)


class Progress:
    """Rate and ETA: one line replaced in place on a terminal, a line a sequence elsewhere."""

    def __init__(self, total: int) -> None:
        self.total = max(total, 1)
        self.done = 0
        self.begin = time.monotonic()
        self.live = sys.stderr.isatty()

    def within(self, seqid: str) -> Callable[[int], None] | None:
        """What a sequence's reader calls with the bp that it has read."""
        if not self.live:
            return None

        def show(read: int) -> None:
            done = self.done + read
            rate = done / max(time.monotonic() - self.begin, 1e-9)
            left = (self.total - done) / max(rate, 1e-9)
            text = f"{seqid}: {done / 1e6:.2f} of {self.total / 1e6:.2f} Mb, {rate / 1e3:.0f} kb/s, {left:.0f} s left"
            sys.stderr.write(f"\r\x1b[K{text}")
            sys.stderr.flush()

        return show

    def finish(self, seqid: str, length: int, found: str) -> None:
        """Count a sequence, and say what was found there."""
        self.done += length
        rate = self.done / max(time.monotonic() - self.begin, 1e-9)
        lead = "\r\x1b[K" if self.live else ""
        tell(f"{lead}{seqid}: {length:,} bp, {found}; {100 * self.done / self.total:.0f}%, {rate / 1e3:.0f} kb/s")
