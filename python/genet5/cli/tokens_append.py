"""Append new tokens to a tokenizer.

Tokens that the tokenizer has already are passed over; ids once given never change. Where the tokenizer belongs to a
model with weights, follow with `genet5 resize`, which grows the model's embeddings to fit.
"""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Positional arguments and options."""
    parser.add_argument(
        "tokens", metavar="NEW_TOKENS", type=Path, help="text file, one token a line, as `genet5 tokens init` writes it"
    )
    parser.add_argument(
        "tokenizer", metavar="TOKENIZER_JSON", type=Path, help="tokenizer.json, or its folder; replaced whole"
    )
    parser.add_argument(
        "--dry_run", action="store_true", help="print what would be appended and write nothing (default: append)"
    )


def run(args: argparse.Namespace) -> int:
    """Append, and say what."""
    from genet5.tokenize import append_tokens, read_token_list, shortened

    added = append_tokens(args.tokenizer, read_token_list(args.tokens), dry_run=args.dry_run)
    verb = "would be appended" if args.dry_run else "appended"
    if not added:
        print(f"{args.tokenizer}: nothing to append, it has all these tokens")
        return 0
    print(f"{args.tokenizer}: {len(added):,} tokens {verb}, ids {added[0][1]} to {added[-1][1]}")
    few = 10
    for token, number in added[:few]:
        print(f"  {number}  {shortened(token)}")
    if len(added) > few:
        print(f"  and {len(added) - few:,} more")
    folder = args.tokenizer if args.tokenizer.is_dir() else args.tokenizer.parent
    if not args.dry_run and any(folder.glob("*.safetensors")):
        print(f"the model beside it is smaller now: run `genet5 resize {folder} {folder}`")
    return 0
