"""Run BUSCO in protein mode on predicted genes.

Needs BUSCO on PATH. Predictions are a GFF3 file with its genome, or a protein FASTA.
"""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--predictions", required=True, help="predicted genes (GFF3, with --genome) or a protein FASTA")
    parser.add_argument("--lineage", required=True, help="BUSCO lineage: a name such as fungi_odb10, or its folder")
    parser.add_argument("--genome", help="FASTA of the genome that the predictions annotate (default: none)")
    parser.add_argument("--genetic_code", type=int, help="NCBI code (default: the annotation's, or 1)")
    parser.add_argument("--threads", type=int, default=1, help="threads of BUSCO (default: 1)")
    parser.add_argument("--output", metavar="FOLDER", help="keep BUSCO's own output there (default: not kept)")
    parser.add_argument("--json", metavar="FILE", help="write the figures as JSON to FILE (default: not written)")


def run(args: argparse.Namespace) -> int:
    """Print the shares of complete, fragmented and missing genes."""
    from genet5.evaluate.busco import as_json, run_busco
    from genet5.files import write_whole

    result = run_busco(args.predictions, args.lineage, args.genome, args.threads, args.genetic_code, args.output)
    print(
        f"complete {result.complete:.1f}% (single {result.single:.1f}%, duplicated {result.duplicated:.1f}%), "
        f"fragmented {result.fragmented:.1f}%, missing {result.missing:.1f}% of {result.total}"
    )
    if args.json:
        write_whole(args.json, as_json(result))
    return 0
