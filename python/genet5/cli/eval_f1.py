"""Compare predicted with reference annotation: sensitivity, precision and F1 at every level.

Base, exon, intron, intron chain, transcript and locus follow gffcompare's definitions (exons of all transcripts);
cds_base to gene look at coding sequences alone. "gene" is the strictest: the exact coding sequence of any isoform. With
--genome the longest-ORF baseline, a rule without learning, stands beside the figures.
"""

from __future__ import annotations

import argparse
import json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--predictions", required=True, help="predicted genes: GFF3, GTF or GenBank, gzip or plain")
    parser.add_argument("--reference", required=True, help="reference genes, in the same formats")
    parser.add_argument("--genome", help="FASTA of the genome; adds the longest-ORF baseline (default: none)")
    parser.add_argument("--json", metavar="FILE", help="write the figures as JSON to FILE (default: not written)")
    parser.add_argument("--seqids", help="compare on these sequences only, comma separated (default: all)")
    parser.add_argument("--coding_only", action="store_true", help="leave non-coding transcripts out (default: kept)")
    parser.add_argument("--genetic_code", type=int, help="NCBI code for the baseline (default: the reference's, or 1)")
    parser.add_argument("--lenient", action="store_true", help="count malformed lines instead of refusing a file")


def run(args: argparse.Namespace) -> int:
    """Print the table."""
    from genet5.evaluate.f1 import evaluate_f1, table
    from genet5.files import write_whole

    evaluation = evaluate_f1(
        args.predictions,
        args.reference,
        genome=args.genome,
        seqids=args.seqids.split(",") if args.seqids else None,
        coding_only=args.coding_only,
        genetic_code=args.genetic_code,
        lenient=args.lenient,
    )
    print(table(evaluation))
    if args.json:
        write_whole(args.json, json.dumps(evaluation.as_json(), indent=2) + "\n")
    return 0
