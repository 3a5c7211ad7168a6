"""AdamW with its parameter groups."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from genet5.errors import UnavailableError
from genet5.train.options import TrainingOptions

PARTS = ("encoder", "base_head", "decoder")


def part_of(name: str) -> str:
    """Which part of the model a parameter belongs to: `encoder`, `base_head` or `decoder` (the rest)."""
    first = name.split(".", 1)[0]
    return first if first in ("encoder", "base_head") else "decoder"


def _undecayed(model: nn.Module) -> set[str]:
    """Names of the parameters without weight decay: biases, and everything that norms own."""
    names = set()
    for prefix, module in model.named_modules():
        is_norm = "norm" in type(module).__name__.lower()
        for name, parameter in module.named_parameters(recurse=False):
            if is_norm or parameter.ndim < 2 or name.endswith("bias"):
                names.add(f"{prefix}.{name}" if prefix else name)
    return names


def parameter_groups(model: nn.Module, options: TrainingOptions) -> list[dict[str, Any]]:
    """Groups by part of the model and by weight decay; `highest_lr` is what the schedule's factor multiplies."""
    rates = {
        "encoder": options.encoder_lr or options.lr,
        "base_head": options.lr,
        "decoder": options.decoder_lr or options.lr,
    }
    undecayed = _undecayed(model)
    members: dict[tuple[str, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            members.setdefault((part_of(name), name not in undecayed), []).append(parameter)
    return [
        {
            "params": members[part, decayed],
            "part": part,
            "lr": rates[part],
            "highest_lr": rates[part],
            "weight_decay": options.weight_decay if decayed else 0.0,
        }
        for part in PARTS
        for decayed in (True, False)
        if (part, decayed) in members
    ]


def build_optimizer(model: nn.Module, options: TrainingOptions) -> torch.optim.Optimizer:
    """AdamW over the parameters that are trained; with `optim_8bit`, bitsandbytes' with 8-bit states."""
    groups = parameter_groups(model, options)
    betas = (0.9, 0.98)
    if options.optim_8bit:
        try:
            from bitsandbytes.optim import AdamW8bit
        except ImportError as error:
            raise UnavailableError(
                "--optim_8bit needs bitsandbytes, which is not installed: pip install 'genet5[gpu]', or leave it out"
            ) from error
        return AdamW8bit(groups, betas=betas)
    return torch.optim.AdamW(groups, betas=betas, fused=True)


def set_learning_rates(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Set each group's learning rate to its highest times `factor`."""
    for group in optimizer.param_groups:
        group["lr"] = group["highest_lr"] * factor


def trained_parameters(optimizer: torch.optim.Optimizer) -> Iterable[nn.Parameter]:
    """All parameters of the optimiser's groups."""
    for group in optimizer.param_groups:
        yield from group["params"]
