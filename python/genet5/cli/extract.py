"""Write CDS, protein and transcript sequences of an annotated genome as FASTA.

A record's id is its transcript's. A CDS begins at its first whole codon. A protein begins with M where a complete CDS
begins with a start codon of the genetic code, has no final stop, and `*` where a stop codon stands inside. The genetic
code of a sequence is the one of --code_for, else of --genetic_code, else the annotation's own (transl_table), else 1.
"""

from __future__ import annotations

import argparse
import sys


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("genome", help="FASTA file (plain, gzip or BGZF), or GenBank records with sequences")
    parser.add_argument("annotation", help="GFF3, GTF or GenBank file of that genome")
    parser.add_argument("--cds", metavar="FILE", help="write spliced coding sequences (FASTA)")
    parser.add_argument("--protein", metavar="FILE", help="write translated coding sequences (FASTA)")
    parser.add_argument("--transcripts", metavar="FILE", help="write spliced exons (FASTA)")
    add_code_arguments(parser)
    parser.add_argument(
        "--lenient",
        action="store_true",
        help="count malformed lines and rows past a sequence's end instead of stopping",
    )


def add_code_arguments(parser: argparse.ArgumentParser) -> None:
    """Options that choose the genetic code."""
    parser.add_argument(
        "--genetic_code",
        type=int,
        metavar="N",
        help="NCBI genetic code of all sequences (default: the annotation's transl_table, else 1)",
    )
    parser.add_argument(
        "--code_for",
        action="append",
        default=[],
        metavar="SEQID=N",
        help="genetic code of one sequence, such as chrM=2; may be given several times (default: none)",
    )


def codes_of(options: list[str]) -> dict[str, int]:
    """``SEQID=N`` options as a dict."""
    from genet5.errors import InputError

    codes: dict[str, int] = {}
    for option in options:
        seqid, _, number = option.rpartition("=")
        if not seqid or not number.isdigit():
            raise InputError(f"--code_for takes SEQID=N, such as chrM=2, not '{option}'")
        codes[seqid] = int(number)
    return codes


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    from genet5.annotation import Annotation, Genome
    from genet5.errors import InputError

    if not (args.cds or args.protein or args.transcripts):
        raise InputError("nothing to write: give --cds, --protein or --transcripts")
    codes = codes_of(args.code_for)
    genome = Genome.read(args.genome)
    unknown = sorted(set(codes) - set(genome.ids))
    if unknown:
        raise InputError(f"--code_for names '{unknown[0]}', which is no sequence of {args.genome}")
    annotation = Annotation.read(args.annotation, args.lenient).check_against(genome, args.lenient)
    if args.cds:
        annotation.write_cds(args.cds, genome)
    if args.protein:
        annotation.write_proteins(args.protein, genome, args.genetic_code, codes)
    if args.transcripts:
        annotation.write_transcripts(args.transcripts, genome)
    missing = annotation.report["counts"].get("gene on a sequence that the genome lacks", 0)
    if missing:
        print(f"warning: {missing} genes are on sequences that {args.genome} lacks: left out", file=sys.stderr)
    return 0
