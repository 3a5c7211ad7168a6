"""Annotate a genome: FASTA in, GFF3 out.

The model gives evidence for every base, the dynamic program makes gene models of it: every complete coding gene is an
open reading frame. Progress goes to stderr; each output appears whole or not at all.
"""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("genome", type=Path, help="genome to annotate: FASTA (or GenBank), plain, gzip or BGZF")
    parser.add_argument(
        "--model", type=Path, required=True, help="a model's folder, or a run's folder (then its best/)"
    )
    parser.add_argument("--output", type=Path, required=True, help="GFF3 file to write")
    parser.add_argument("--protein", type=Path, help="also write the proteins, FASTA (default: none)")
    parser.add_argument("--cds", type=Path, help="also write the coding sequences, FASTA (default: none)")
    genes = parser.add_argument_group("what is annotated")
    genes.add_argument(
        "--taxon",
        choices=("prokaryotes", "unicellular", "invertebrates", "vertebrates", "plants"),
        help="chooses the program: prokaryotes, or spliced genes (default: the model's own)",
    )
    genes.add_argument(
        "--genetic_code", type=int, help="NCBI number of the genetic code (default: the taxon's, 1 or 11)"
    )
    genes.add_argument(
        "--code_for",
        action="append",
        default=[],
        metavar="SEQID=N",
        help="genetic code of one sequence, e.g. chrM=3; may be repeated (default: --genetic_code)",
    )
    genes.add_argument("--seqids", help="only these sequences, comma separated (default: all)")
    genes.add_argument(
        "--circular",
        action="append",
        default=[],
        metavar="SEQID",
        help="this sequence is circular; may be repeated (default: where the FASTA header or GenBank file says so)",
    )
    genes.add_argument(
        "--min_score", type=float, default=0.0, help="leave out genes of a lower score, 0 to 1 (default: 0, keep all)"
    )
    genes.add_argument(
        "--adapt",
        action="store_true",
        help="learn from the genome's own likely genes, then annotate anew; prokaryotes alone (default: off)",
    )
    genes.add_argument(
        "--adapt_minutes",
        type=float,
        help="with --adapt, minutes of training on the genome's own genes; 0 leaves the model as it is (default: 2)",
    )
    cut = parser.add_argument_group("how it is computed")
    cut.add_argument("--window_size", type=int, help="bp that the model sees at once (default: as it was trained)")
    cut.add_argument("--overlap", type=int, help="bp that neighbouring windows share (default: a fifth of the window)")
    cut.add_argument(
        "--batch_bases",
        type=int,
        help="bp in a batch; more needs more memory (default: 65,536 on a CPU, 1,048,576 on a GPU)",
    )
    cut.add_argument("--device", help="cpu, cuda or cuda:N (default: cuda where there is one, else cpu)")
    cut.add_argument(
        "--precision",
        choices=("auto", "fp32", "bf16"),
        default="auto",
        help="arithmetic; auto is bf16 on a GPU, fp32 on a CPU",
    )
    cut.add_argument("--threads", type=int, help="CPU threads (default: all)")


def run(args: argparse.Namespace) -> int:
    """Annotate and write; 0 when done."""
    import transformers

    from genet5.errors import InputError
    from genet5.predict.annotate import PredictionOptions, annotate_file

    transformers.utils.logging.disable_progress_bar()
    options = PredictionOptions(
        taxon=args.taxon,
        genetic_code=args.genetic_code,
        code_for=dict(_code_for(text) for text in args.code_for),
        seqids=args.seqids.split(",") if args.seqids else None,
        circular=frozenset(args.circular),
        min_score=args.min_score,
        window_size=args.window_size,
        overlap=args.overlap,
        batch_bases=args.batch_bases,
        device=args.device,
        precision=args.precision,
        threads=args.threads,
    )
    annotator = None
    if args.adapt:
        from genet5.train.adapt import annotator_that_adapts

        annotator = annotator_that_adapts(2.0 if args.adapt_minutes is None else args.adapt_minutes)
    elif args.adapt_minutes is not None:
        raise InputError("--adapt_minutes goes with --adapt: add it, or leave both out")
    annotate_file(
        args.genome, args.model, args.output, options, protein=args.protein, cds=args.cds, annotator=annotator
    )
    return 0


def _code_for(text: str) -> tuple[str, int]:
    from genet5.errors import InputError

    seqid, separator, number = text.rpartition("=")
    if not (separator and seqid and number.isdigit()):
        raise InputError(f"--code_for {text}: expected SEQID=N, e.g. chrM=3")
    return seqid, int(number)
