"""Train a model on packed data.

Writes OUT/best and OUT/last (each a folder that loads as a model, with the state of the training beside),
config.toml, training_log.csv and, with --memwatch, memwatch.csv. Starts under torchrun on several processes, too;
bin/distributed.sh does that. SIGTERM and Ctrl-C save OUT/last and exit with 75: start again with --resume.
"""

from __future__ import annotations

import argparse
import dataclasses
import types
import typing
from pathlib import Path

from genet5.train.options import TrainingOptions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Positional arguments, and an option for each field of :class:`TrainingOptions`."""
    parser.add_argument("training", metavar="TRAINING", type=Path, help="training.packed, as `bake` writes it")
    parser.add_argument("validation", metavar="VALIDATION", type=Path, help="validation.packed")
    parser.add_argument("output", metavar="OUT", type=Path, help="the run's folder, made where it does not exist")
    parser.add_argument("model", metavar="MODEL", type=Path, help="folder of the model to start from")
    kinds = typing.get_type_hints(TrainingOptions)
    for option in dataclasses.fields(TrainingOptions):
        kind, help_ = kinds[option.name], option.metadata["help"]
        if kind is bool:
            action = argparse.BooleanOptionalAction if option.default else "store_true"
            parser.add_argument(f"--{option.name}", action=action, default=option.default, help=help_)
            continue
        if isinstance(kind, types.UnionType):
            kind = next(member for member in typing.get_args(kind) if member is not type(None))
        parser.add_argument(
            f"--{option.name}",
            type=kind,
            default=option.default,
            metavar=option.metadata["metavar"],
            choices=option.metadata["choices"],
            help=help_.replace("%", "%%"),
        )
    parser.add_argument(
        "--resume", action="store_true", help="go on from OUT/last where it exists (default: start anew)"
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace a run that OUT holds (default: refuse to touch it)"
    )


def run(args: argparse.Namespace) -> int:
    """Train; 0 when done, 75 when saved after a signal."""
    names = [option.name for option in dataclasses.fields(TrainingOptions)]
    options = TrainingOptions(**{name: getattr(args, name) for name in names})
    options.validate()
    from genet5.train.session import finetune

    return finetune(
        args.training, args.validation, args.output, args.model, options, resume=args.resume, overwrite=args.overwrite
    )
