"""Which implementation runs: the Triton kernels or the PyTorch references.

The environment variable `GENET5_ATTENTION` decides: `auto` (default) takes Triton for CUDA tensors and the reference
for all others, `triton` and `reference` insist on one. There is no fallback: where `auto` or `triton` chose the
kernels and they cannot run, that is an error.
"""

from __future__ import annotations

import functools
import logging
import os

import torch

from genet5.errors import InputError

VARIABLE = "GENET5_ATTENTION"
CHOICES = ("auto", "triton", "reference")
logger = logging.getLogger("genet5.kernels")


def interpreted() -> bool:
    """Whether Triton's interpreter is on (`TRITON_INTERPRET=1`), which runs the kernels on CPU tensors."""
    return os.environ.get("TRITON_INTERPRET", "0").lower() in ("1", "true", "on", "yes")


@functools.cache
def _log_once(choice: str, implementation: str, device_type: str) -> None:
    logger.info("attention on %s runs on the %s implementation (%s=%s)", device_type, implementation, VARIABLE, choice)


def use_triton(device: torch.device) -> bool:
    """Whether tensors on `device` go through the Triton kernels; the choice is logged once.

    Raises `InputError` where the variable holds an unknown word, or insists on kernels that cannot run on the device.
    """
    choice = os.environ.get(VARIABLE, "auto").strip().lower() or "auto"
    if choice not in CHOICES:
        raise InputError(f"{VARIABLE}={choice!r} is not known; use one of {', '.join(CHOICES)}")
    runnable = device.type == "cuda" or interpreted()
    if choice == "triton" and not runnable:
        raise InputError(
            f"{VARIABLE}=triton, but tensors are on {device.type}: move the model to a CUDA device, "
            f"set TRITON_INTERPRET=1 for a (very slow) trial run, or unset {VARIABLE}"
        )
    triton = choice == "triton" or (choice == "auto" and device.type == "cuda")
    _log_once(choice, "Triton" if triton else "reference", device.type)
    return triton
