"""Turn genomes and their annotation into packed training data.

RAW holds a folder for each species, RAW/TAXON/SPECIES or RAW/SPECIES, with one FASTA and one GFF3 or GTF file, or
GenBank files, plain or compressed; a species.toml beside them can say what their names do not. OUTPUT gets
training.packed, validation.packed and bake.json, the report of all that was kept and left out.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path


def _ids(text: str) -> list[str]:
    return [item for item in (part.strip() for part in text.split(",")) if item]


def _code(text: str) -> tuple[str, int]:
    seqid, separator, number = text.rpartition("=")
    if not separator or not seqid or not number.isdigit():
        raise argparse.ArgumentTypeError(f"'{text}' is not SEQID=NUMBER, as in chrM=3")
    return seqid, int(number)


def _whole(least: int) -> Callable[[str], int]:
    def whole(text: str) -> int:
        if not text.isdigit() or int(text) < least:
            raise argparse.ArgumentTypeError(f"'{text}' is not a whole number of at least {least}")
        return int(text)

    return whole


def _share(most: float) -> Callable[[str], float]:
    def share(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if not 0.0 <= value <= most:
            raise argparse.ArgumentTypeError(f"'{text}' is not a number between 0 and {most:g}")
        return value

    return share


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's flags."""
    cores = os.cpu_count() or 1
    add = parser.add_argument
    add("--raw_dir", type=Path, required=True, metavar="RAW", help="folder that holds the species' folders")
    add("--output_dir", type=Path, required=True, metavar="OUTPUT", help="folder for the packed files and the report")
    add("--tokenizer", type=Path, required=True, metavar="PATH", help="tokenizer.json, or the folder of a model")
    add(
        "--n_workers",
        type=_whole(1),
        default=cores,
        metavar="N",
        help="threads a species (default: all cores, %(default)s)",
    )
    add(
        "--species_parallel",
        type=_whole(1),
        default=1,
        metavar="N",
        help="species at once, a process each (default: 1)",
    )
    add(
        "--scheduler",
        metavar="ADDRESS",
        help="Dask scheduler, as in tcp://host:8786, to bake on instead of local processes",
    )
    add("--resume", action="store_true", help="keep the species that an earlier, unfinished run has baked")
    add("--dry_run", action="store_true", help="print what would be baked and how large it would be; write nothing")
    add("--lenient", action="store_true", help="count malformed lines of annotation instead of refusing the file")
    add("--seed", type=_whole(0), default=0, metavar="N", help="seed of all choices (default: 0)")

    species = parser.add_argument_group("species")
    add = species.add_argument
    add(
        "--limits",
        type=Path,
        metavar="FILE",
        help="TOML table of taxa and species with gene limits, windows and genetic codes",
    )
    add("--taxa", type=_ids, default=[], metavar="A,B", help="only species of these taxa (default: all)")
    add(
        "--species",
        type=_ids,
        default=[],
        metavar="A,B",
        help="only these species, named as their folders (default: all)",
    )
    add("--exclude", type=_ids, default=[], metavar="A,B", help="not these species (default: none)")
    add(
        "--code_for",
        type=_code,
        action="append",
        default=[],
        metavar="SEQID=N",
        help="genetic code (NCBI number) of one sequence; may be repeated",
    )
    add("--organelles", action="store_true", help="bake mitochondria and plastids too (default: left out)")

    windows = parser.add_argument_group("windows")
    add = windows.add_argument
    add(
        "--window_size",
        type=_whole(1),
        metavar="BP",
        help="longest window in bp (default: the taxon's longest gene, at least 10000)",
    )
    add("--margin", type=_whole(0), default=50, metavar="BP", help="bp wanted on either side of a gene (default: 50)")
    add(
        "--overlap",
        type=_whole(0),
        metavar="BP",
        help="bp that neighbouring windows share (default: 1/e of the window)",
    )
    add(
        "--max_n_ratio",
        type=_share(1),
        default=0.1,
        metavar="SHARE",
        help="leave out windows with a larger share of N (default: 0.1)",
    )
    add(
        "--intergenic_fraction",
        type=_share(1e6),
        default=0.15,
        metavar="SHARE",
        help="gene-free windows for each window with genes (default: 0.15)",
    )
    add("--gene_limit", type=_whole(1), metavar="N", help="genes a species at most (default: the taxon's)")
    add("--reverse_complement", action="store_true", help="add the reverse complement of each training window")
    add(
        "--isoforms",
        choices=("canonical", "all"),
        default="canonical",
        help="transcripts of a gene to teach (default: canonical)",
    )
    add(
        "--hints",
        action="store_true",
        help="add a track of RNA-seq introns from a species' hints file (GFF; hints.* in its folder)",
    )
    add(
        "--hint_ratio",
        type=_share(1),
        default=0.5,
        metavar="SHARE",
        help="windows that are shown their hints (default: 0.5)",
    )
    add("--soft_masking", action="store_true", help="add soft masking (lower case) to the track")

    held_out = parser.add_argument_group("held-out data")
    add = held_out.add_argument
    add(
        "--validation_fraction",
        type=_share(0.5),
        default=0.05,
        metavar="SHARE",
        help="share of the bases to hold out in regions for validation (default: 0.05)",
    )
    add(
        "--validation_seqids",
        type=_ids,
        default=[],
        metavar="A,B",
        help="hold out these whole sequences for validation instead",
    )
    add(
        "--test_seqids",
        type=_ids,
        default=[],
        metavar="A,B",
        help="leave these sequences out of both files, for testing",
    )

    packs = parser.add_argument_group("packs and tokens")
    add = packs.add_argument
    add(
        "--target",
        type=_whole(1),
        default=4550,
        metavar="TOKENS",
        help="DNA tokens that a pack stays below without its longest window (default: 4550)",
    )
    add(
        "--hard_limit",
        type=_whole(1),
        default=5005,
        metavar="TOKENS",
        help="DNA tokens that a pack of several windows never passes (default: 5005)",
    )
    add(
        "--max_target_len",
        type=_whole(8),
        default=8000,
        metavar="TOKENS",
        help="label tokens of a pack at most (default: 8000)",
    )
    add(
        "--extend_tokenizer",
        action="store_true",
        help="append the tokens that are missing to the tokenizer, and grow the model beside it",
    )


def run(args: argparse.Namespace) -> int:
    """Bake, and print a summary."""
    from genet5.data.bake import bake
    from genet5.data.bake_options import BakeOptions

    bake(
        args.raw_dir,
        args.output_dir,
        args.tokenizer,
        BakeOptions(
            n_workers=args.n_workers,
            species_parallel=args.species_parallel,
            scheduler=args.scheduler,
            resume=args.resume,
            dry_run=args.dry_run,
            lenient=args.lenient,
            seed=args.seed,
            limits=args.limits,
            taxa=tuple(args.taxa),
            species=tuple(args.species),
            exclude=tuple(args.exclude),
            codes=dict(args.code_for),
            organelles=args.organelles,
            window_size=args.window_size,
            margin=args.margin,
            overlap=args.overlap,
            max_n_ratio=args.max_n_ratio,
            intergenic_fraction=args.intergenic_fraction,
            gene_limit=args.gene_limit,
            reverse_complement=args.reverse_complement,
            isoforms=args.isoforms,
            hints=args.hints,
            hint_ratio=args.hint_ratio,
            soft_masking=args.soft_masking,
            validation_fraction=args.validation_fraction,
            validation_seqids=tuple(args.validation_seqids),
            test_seqids=tuple(args.test_seqids),
            target=args.target,
            hard_limit=args.hard_limit,
            max_target_len=args.max_target_len,
            extend_tokenizer=args.extend_tokenizer,
        ),
    )
    return 0
