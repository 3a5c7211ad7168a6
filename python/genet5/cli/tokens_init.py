"""Write the list of annotation tokens, one a line.

The list is what `genet5 tokens append` adds to a tokenizer: runs of N, the words of the annotation language, biotypes
and numbers. Where OUTPUT exists, what it lacks is added at its end, and what it holds stays in its order, since the
order decides the ids. With --gff, biotypes of the annotation that no token stands for yet get one.
"""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Positional arguments and options."""
    parser.add_argument("output", metavar="OUTPUT", type=Path, help="text file to write or to add to")
    parser.add_argument(
        "--gff",
        metavar="FILE",
        type=Path,
        nargs="+",
        default=[],
        help="annotation (GFF3, GTF or GenBank) to look through for biotypes (default: none)",
    )


def run(args: argparse.Namespace) -> int:
    """Write or complete the list."""
    from genet5.tokenize import builtin_tokens, new_biotype_tokens, read_token_list, write_token_list

    known = read_token_list(args.output) if args.output.exists() else []
    wanted = builtin_tokens()
    found = new_biotype_tokens(args.gff)
    added = [token for token in dict.fromkeys([*wanted, *found]) if token not in set(known)]
    if added or not args.output.exists():
        args.output.parent.mkdir(parents=True, exist_ok=True)
        write_token_list(args.output, [*known, *added])
    print(f"{args.output}: {len(known) + len(added):,} tokens, {len(added):,} of them new")
    for token in found:
        print(f"  new biotype {token}" if token in added else f"  biotype {token} was in the list")
    return 0
