"""Copy a random share of a packed file, for quick runs.

Samples keep the file's order and their bytes; the folder of OUT is made where it does not exist.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Positional arguments and options."""
    parser.add_argument("input", metavar="IN", type=Path, help="packed file")
    parser.add_argument(
        "output", metavar="OUT", type=Path, help="packed file to write, not IN; another that is there is replaced"
    )
    share = parser.add_mutually_exclusive_group(required=True)
    share.add_argument("--fraction", type=float, metavar="SHARE", help="share of the samples to keep, above 0 to 1")
    share.add_argument("--count", type=int, metavar="N", help="number of samples to keep")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the choice (default: 0)")


def run(args: argparse.Namespace) -> int:
    """Write the subset and say how large it is."""
    from genet5._core import PackedFile
    from genet5.errors import InputError

    if args.seed < 0 or (args.count is not None and args.count < 0):
        raise InputError("--seed and --count must not be negative")
    source = PackedFile(args.input)
    make_way([args.input], [args.output])
    kept = source.subset(args.output, fraction=args.fraction, count=args.count, seed=args.seed)
    print(f"{args.output}: {kept:,} of {len(source):,} samples")
    return 0


def make_way(inputs: Sequence[Path], outputs: Sequence[Path]) -> None:
    """Make the folders of files that will be written. A file that is read is never replaced: :class:`InputError`."""
    from genet5.errors import InputError

    for output in outputs:
        if output.exists() and any(output.samefile(path) for path in inputs):
            raise InputError(f"{output} is read and would be replaced: name another file to write")
        output.parent.mkdir(parents=True, exist_ok=True)
