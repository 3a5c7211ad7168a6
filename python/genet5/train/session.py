"""A run from its command line to its last checkpoint."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

import torch
import transformers

import genet5
from genet5.errors import GeneT5Error, InputError
from genet5.files import write_whole
from genet5.predict.annotate import model_directory
from genet5.train import checkpoint, mxfp8, toml
from genet5.train.compilation import compile_parts
from genet5.train.distributed import World
from genet5.train.interrupt import StopRequest
from genet5.train.log import Console
from genet5.train.memory_watch import MemoryWatch
from genet5.train.options import TrainingOptions
from genet5.train.trainer import Stopped, Trainer

EXIT_SAVED = 75
_WEIGHT_SUFFIXES = (".safetensors", ".bin", ".pt", ".index.json")


def companions(directory: Path) -> dict[str, bytes]:
    """Files beside a model's weights and configuration that its checkpoints carry on: tokenizer, gene parameters."""
    return {
        path.name: path.read_bytes()
        for path in sorted(directory.iterdir())
        if path.is_file()
        and not path.name.startswith(".")
        and path.name != "config.json"
        and not path.name.endswith(_WEIGHT_SUFFIXES)
    }


def prepare_output(output: Path, resume: bool, overwrite: bool) -> bool:
    """Make or check the run's folder; True where there is a checkpoint to go on from."""
    if output.exists() and not output.is_dir():
        raise InputError(f"{output} is a file: name a folder for the run")
    output.mkdir(parents=True, exist_ok=True)
    if not os.access(output, os.W_OK | os.X_OK):
        raise InputError(f"{output} cannot be written: choose another folder")
    for name in ("last", "best"):
        checkpoint.recover(output / name)
    held = [name for name in ("last", "best") if (output / name).exists()]
    if resume:
        return "last" in held
    if held and not overwrite:
        raise InputError(
            f"{output} already holds a run: go on with it (--resume), replace it (--overwrite), or name another folder"
        )
    for name in held:
        shutil.rmtree(output / name)
    for name in ("training_log.csv", "memwatch.csv", "config.toml"):
        (output / name).unlink(missing_ok=True)
    return False


def describe(
    options: TrainingOptions, paths: dict[str, Path], world: World, identity: dict[str, str], model: Any
) -> str:
    """`config.toml`: options, files, versions and the model's configuration."""
    config = {
        key: value
        for key, value in model.config.to_diff_dict().items()
        if isinstance(value, bool | int | float | str)
        or (isinstance(value, list) and all(isinstance(v, str | int | float) for v in value))
    }
    return toml.dumps(
        {
            "run": {
                "command": shlex.join(sys.argv),
                **{name: str(path.resolve()) for name, path in paths.items()},
                "processes": world.size,
                "device": torch.cuda.get_device_name() if world.device.type == "cuda" else "cpu",
                "genet5": genet5.__version__,
                "torch": torch.__version__,
                "python": sys.version.split()[0],
            },
            "data": identity,
            "options": options.as_dict(),
            "model": config,
        }
    )


def _together(world: World, action: Any) -> Any:
    """Run an action on the main process; its error is raised in all of them, and its result given to all."""
    result: Any = None
    error: Exception | None = None
    if world.is_main:
        try:
            result = action()
        except (GeneT5Error, OSError, Stopped) as caught:
            error = caught
    result, error = world.broadcast((result, error))
    if error is not None:
        raise error
    return result


def fit_genes(output: Path, training: Any, validation: Any, bf16: bool, world: World, console: Console) -> None:
    """Fit the gene-finding programs' weights with `output/best`, and write them into `best/` and `last/`."""
    from genet5._core import Tokenizer
    from genet5.model.loading import load_model
    from genet5.predict.evidence import EvidenceReader
    from genet5.train.fit_genes import fit

    best = output / "best"
    model = load_model(best, world.device)
    window = model.config.window_size
    reader = EvidenceReader(
        model,
        Tokenizer(best),
        window_size=window,
        overlap=window // 5,
        batch_bases=1_048_576 if world.device.type == "cuda" else 65_536,
        bf16=bf16,
    )
    existing = {path.name: path.read_text() for path in best.glob("gene_parameters*.json")}
    with StopRequest() as stop:

        def poll() -> None:
            if stop.requested:
                raise Stopped

        fitted = fit(reader, training, validation, existing, console.line, poll)
    for directory in (best, output / "last"):
        for name, text in fitted.items():
            write_whole(directory / name, text)


def finetune(
    training_path: Path,
    validation_path: Path,
    output: Path,
    model_path: Path,
    options: TrainingOptions,
    resume: bool = False,
    overwrite: bool = False,
) -> int:
    """Train the model in `model_path`, writing into `output`; returns 0 when done, 75 when saved after a signal."""
    from genet5.data import PackedDataset
    from genet5.model.loading import load_model

    # Bars of a single file's weights, which clutter a log.
    transformers.utils.logging.disable_progress_bar()
    world = World.from_environment()
    console = Console(world.is_main)
    try:
        if options.mxfp8:
            mxfp8.require_hardware(world.device)
        source = model_directory(model_path)
        tokenizer = source / "tokenizer.json"
        training = PackedDataset(training_path, tokenizer)
        validation = PackedDataset(validation_path, tokenizer)
        going_on = _together(world, lambda: prepare_output(output, resume, overwrite))
        if resume and not going_on:
            console.line(f"{output} holds no checkpoint yet: starting from {source}")
        state = checkpoint.load_state(output / "last") if going_on else None
        source = output / "last" if going_on else source
        model = load_model(source)
        beside = companions(source)
        # What `predict` cuts genomes into.
        model.config.window_size = int(training.file.segments()["length"].max())
        if options.mxfp8:
            mxfp8.probe(world.device)
            console.line(f"MXFP8 products in {mxfp8.convert(model)} linear layers")
        if options.compile:
            console.line(f"compiling {', '.join(compile_parts(model, world.device.type == 'cuda'))}")

        def write_model(directory: Path) -> None:
            model.save_pretrained(directory)
            for name, content in beside.items():
                (directory / name).write_bytes(content)

        identity = {"training data": training.fingerprint, "validation data": validation.fingerprint}
        trainer = Trainer(model, training, validation, options, output, write_model, world, console, identity=identity)
        if state is not None:
            trainer.resume(state)
        paths = {"training": training_path, "validation": validation_path, "output": output, "model": model_path}
        if world.is_main:
            write_whole(output / "config.toml", describe(options, paths, world, identity, model))
        trainer.announce()
        watch = MemoryWatch(output / "memwatch.csv") if options.memwatch and world.is_main else contextlib.nullcontext()
        try:
            with watch:
                trainer.run()
                if options.fit_genes:
                    _together(world, lambda: fit_genes(output, training, validation, trainer.bf16, world, console))
        except Stopped:
            console.line(f"stopped by a signal; {output / 'last'} is saved: go on with --resume")
            return EXIT_SAVED
        progress = trainer.progress
        console.line(
            f"done: {progress.step} steps; the best validation loss is {progress.best_loss:.4f}, "
            f"after step {progress.best_step}; the model is {output / 'best'}"
        )
        return 0
    finally:
        world.close()
