"""ALiBi: biases that fall with distance (Press et al. 2022, arXiv:2108.12409)."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def alibi_slopes(heads: int) -> Tensor:
    """Slopes of `heads` heads, float32 [heads].

    2^(-8 (i + 1) / heads) for a power of two; else those of the next lower power of two, then every other one of the
    next higher, as DNABERT-2 has them.
    """
    lower = 2 ** math.floor(math.log2(heads))
    slopes = [2.0 ** (-8.0 * (i + 1) / lower) for i in range(lower)]
    slopes += [2.0 ** (-8.0 * (i + 1) / (2 * lower)) for i in range(0, 2 * (heads - lower), 2)]
    return torch.tensor(slopes, dtype=torch.float32)
