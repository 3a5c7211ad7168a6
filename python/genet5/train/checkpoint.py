"""Checkpoints: folders that a model loads from, with the trainer's state beside, replaced as a whole or not at all."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from genet5.errors import FormatError, GeneT5Error, InputError

STATE_FILE = "trainer_state.pt"
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _exchange(first: Path, second: Path) -> bool:
    """Swap two folders in one step; False where the system or file system cannot."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    return rename(_AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second), _RENAME_EXCHANGE) == 0


def _set_aside(target: Path) -> Path:
    return target.with_name(f".{target.name}.previous")


def recover(target: Path) -> None:
    """Put back what a crash in the middle of a replacement left set aside, and clear unfinished folders."""
    previous = _set_aside(target)
    if previous.is_dir():
        if target.exists():
            shutil.rmtree(previous)
        else:
            previous.rename(target)
    for unfinished in target.parent.glob(f".{target.name}.new-*"):
        shutil.rmtree(unfinished, ignore_errors=True)


@contextlib.contextmanager
def replaced_directory(target: Path) -> Iterator[Path]:
    """Give a new folder to fill; when the block ends without an error it takes the place of `target`, synced to disk.

    A reader sees the old folder or the whole new one. Where the system cannot exchange two folders in one step,
    the old one is set aside first, and :func:`recover` puts it back after a crash between the two.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    new = Path(tempfile.mkdtemp(prefix=f".{target.name}.new-", dir=target.parent))
    try:
        # mkdtemp makes the folder private; a checkpoint is read by whom the user's umask allows.
        umask = os.umask(0)
        os.umask(umask)
        new.chmod(0o777 & ~umask)
        yield new
        for path in sorted(new.rglob("*")):
            if path.is_file():
                _sync(path)
        _sync(new)
        if not target.exists():
            new.rename(target)
        elif not _exchange(new, target):
            previous = _set_aside(target)
            shutil.rmtree(previous, ignore_errors=True)
            target.rename(previous)
            new.rename(target)
            shutil.rmtree(previous)
        _sync(target.parent)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def copy_directory(source: Path, target: Path) -> None:
    """Make `target` the same as the checkpoint `source`, by hard links where the file system has them.

    Files of a checkpoint are never changed in place, so that sharing them is safe.
    """
    with replaced_directory(target) as new:
        for path in source.iterdir():
            try:
                os.link(path, new / path.name)
            except OSError:
                shutil.copy2(path, new / path.name)


def save(target: Path, write_model: Callable[[Path], None], state: dict[str, Any]) -> None:
    """Write model and trainer state as the folder `target`."""
    try:
        with replaced_directory(target) as new:
            write_model(new)
            torch.save(state, new / STATE_FILE)
    except (RuntimeError, SafetensorError) as error:
        # What torch and safetensors raise where the disk is full.
        raise GeneT5Error(
            f"{target} could not be written ({str(error).splitlines()[0]}); the checkpoint before it is untouched: "
            "make room on the disk and go on with --resume"
        ) from error


def load_state(directory: Path) -> dict[str, Any]:
    """The trainer's state beside a checkpoint; tensors on the host."""
    path = directory / STATE_FILE
    if not path.is_file():
        raise InputError(f"{path} does not exist, so that training cannot go on from {directory}; start it anew")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # torch raises whatever its reader stumbles on: RuntimeError, UnpicklingError, EOFError, ...
        raise FormatError(f"{path} is damaged ({str(error).splitlines()[0]}); start the run anew", path) from error
    if not isinstance(state, dict):
        raise FormatError(f"{path} holds no trainer state; start the run anew", path)
    return state


def random_state(device: torch.device) -> dict[str, torch.Tensor]:
    """States of torch's random generators, of the CPU and of `device`."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def set_random_state(states: dict[str, torch.Tensor], device: torch.device) -> None:
    """Inverse of :func:`random_state`."""
    torch.set_rng_state(states["cpu"])
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)
