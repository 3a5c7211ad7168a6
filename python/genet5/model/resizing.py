"""Growing a vocabulary: new rows look like the old ones, and old rows stay bit for bit."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from genet5.errors import InputError

# Tensors with one row a token, by name in the model's state.
ROWS = ("encoder.embedding.weight", "decoder.embedding.weight", "lm_head.weight")


def grow_rows(old: Tensor, rows: int, generator: torch.Generator) -> Tensor:
    """`old` [n, width] with rows added, drawn from the normal distribution of the old rows' mean and covariance.

    Fewer rows than there are cut the end off. Old rows are the same bits.
    """
    if rows <= old.shape[0]:
        return old[:rows].clone()
    values = old.detach().to(torch.float64)
    mean = values.mean(0)
    centred = (values - mean) / max(values.shape[0] - 1, 1) ** 0.5
    # A sum of the old rows' deviations with random weights has their covariance, without a decomposition.
    draws = torch.randn(rows - old.shape[0], values.shape[0], dtype=torch.float64, generator=generator)
    new = mean + draws @ centred
    return torch.cat((old.detach(), new.to(old.dtype)))


def resize_state(state: dict[str, Tensor], rows: int, generator: torch.Generator) -> dict[str, Tensor]:
    """A model's tensors with `rows` rows a vocabulary; tied tensors, which share one name, stay tied."""
    made = dict(state)
    for name in ROWS:
        if name in state:
            made[name] = grow_rows(state[name], rows, generator)
    return made


def resize_optimizer(state: dict[str, Any], old: int, rows: int, width: int) -> tuple[int, int]:
    """Give the optimiser's moments of each vocabulary tensor their new rows, in place.

    New rows begin at 0, as an optimiser begins. Moments stored in blocks (8 bits) cannot be cut at a row: they are
    dropped, and the optimiser makes them anew in its next step. Returns how many tensors were resized and dropped.
    """
    resized = dropped = 0
    for index, moments in list(state["state"].items()):
        tensors = {name: value for name, value in moments.items() if isinstance(value, Tensor)}
        if not any(tuple(value.shape) == (old, width) for value in tensors.values()):
            continue
        if any(value.dtype == torch.uint8 for value in tensors.values()):
            del state["state"][index]
            dropped += 1
            continue
        for name, value in tensors.items():
            if tuple(value.shape) == (old, width):
                grown = value.new_zeros(rows, width)
                kept = min(old, rows)
                grown[:kept] = value[:kept]
                moments[name] = grown
                resized += 1
    return resized, dropped


def check_growth(old: list[str], new: list[str], allow_shrink: bool) -> None:
    """Raise :class:`InputError` where a tokenizer does not continue the one before it."""
    shared = min(len(old), len(new))
    changed = next((i for i in range(shared) if old[i] != new[i]), None)
    if changed is not None:
        raise InputError(
            f"token {changed} was {old[changed]!r} and is {new[changed]!r}: tokenizers only grow; use one whose first "
            f"{len(old)} tokens are the model's"
        )
    if len(new) < len(old) and not allow_shrink:
        raise InputError(
            f"the tokenizer has {len(new)} tokens, the model {len(old)}: the last {len(old) - len(new)} would be lost; "
            "give --allow_shrink if that is meant"
        )
