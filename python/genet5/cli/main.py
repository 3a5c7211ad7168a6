"""The `genet5` command: finds the command's module, parses its arguments, and turns errors into one sentence.

A command module has a docstring (its first line is the summary), ``add_arguments(parser)`` and ``run(args) -> int``;
it imports what is slow inside ``run``, so that ``--help`` answers at once.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

import genet5
from genet5.errors import GeneT5Error

# Command words -> module in genet5.cli, and the summary that `genet5 --help` prints without importing the module.
COMMANDS: dict[tuple[str, ...], tuple[str, str]] = {
    ("init",): ("init_model", "Make a new model from DNABERT-2 or a preset"),
    ("bake",): ("bake", "Turn genomes and their annotation into packed training data"),
    ("finetune",): ("finetune", "Train a model on packed data"),
    ("predict",): ("predict", "Annotate a genome: FASTA in, GFF3 out"),
    ("eval", "f1"): ("eval_f1", "Compare predicted with reference annotation"),
    ("eval", "busco"): ("eval_busco", "Run BUSCO on predicted proteins"),
    ("subset",): ("subset", "Copy a random share of a packed file"),
    ("packed",): ("packed", "Inspect, verify, subset, merge, split and shuffle packed files"),
    ("tokens", "init"): ("tokens_init", "Write the list of annotation tokens"),
    ("tokens", "append"): ("tokens_append", "Append new tokens to a tokenizer"),
    ("resize",): ("resize", "Grow a model's embeddings to fit its tokenizer"),
    ("info",): ("info", "Print a model's parts, parameters, memory and FLOPs"),
    ("extract",): ("extract", "Write CDS, protein and transcript sequences"),
    ("stats",): ("stats", "Describe an annotation and the quality of its labels"),
}

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


def _overview() -> str:
    width = max(len(" ".join(words)) for words in COMMANDS)
    rows = "\n".join(f"  {' '.join(words):<{width}}  {summary}" for words, (_, summary) in COMMANDS.items())
    return (
        f"usage: genet5 COMMAND [options]\n\n{genet5.__doc__}\n\ncommands:\n{rows}\n\n"
        "'genet5 COMMAND --help' tells more."
    )


def run_command(words: Sequence[str], arguments: Sequence[str], prog: str | None = None) -> int:
    """Run one command and return its exit code: 0 done, 1 bad input or a failed run, 2 wrong usage, 75 saved."""
    name, summary = COMMANDS[tuple(words)]
    module = importlib.import_module(f"genet5.cli.{name}")
    parser = argparse.ArgumentParser(
        prog=prog or "genet5 " + " ".join(words),
        description=(module.__doc__ or summary).strip(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    module.add_arguments(parser)
    args = parser.parse_args(arguments)
    try:
        return int(module.run(args))
    except KeyboardInterrupt:
        print("interrupted; nothing was left half-written", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader of our output went away (`| head`): not an error, and Python must not complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        print(f"error: {place}{error.strerror or error}", file=sys.stderr)
        return EXIT_FAILED
    except GeneT5Error as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_FAILED


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of `genet5`."""
    argv = list(sys.argv[1:] if arguments is None else arguments)
    if not argv or argv[0] in ("-h", "--help"):
        print(_overview())
        return 0 if argv else EXIT_USAGE
    if argv[0] == "--version":
        print(f"genet5 {genet5.__version__}")
        return 0
    for length in (2, 1):
        words = tuple(argv[:length])
        if words in COMMANDS:
            return run_command(words, argv[length:])
    print(f"error: no command '{' '.join(argv[:2])}'; 'genet5 --help' lists them", file=sys.stderr)
    return EXIT_USAGE


if __name__ == "__main__":
    sys.exit(main())
