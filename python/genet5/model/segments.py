"""Where the segments (windows) of a flat batch begin and end."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Segments(NamedTuple):
    """Cumulative lengths of the segments of a pack, int64 [S + 1] each, first 0.

    Attributes:
        token_offsets: in DNA tokens.
        base_offsets: in bases.
        target_offsets: in decoder tokens; None where the decoder does not run.
    """

    token_offsets: Tensor
    base_offsets: Tensor
    target_offsets: Tensor | None = None


def offsets_of(lengths: Tensor) -> Tensor:
    """Cumulative lengths with a leading 0, int64 [S + 1]."""
    return torch.cat((lengths.new_zeros(1, dtype=torch.int64), lengths.to(torch.int64).cumsum(0)))


def segment_of(offsets: Tensor, length: int) -> Tensor:
    """Index of the segment of each of `length` flat positions, int64 [length]."""
    position = torch.arange(length, device=offsets.device)
    return torch.searchsorted(offsets[1:].contiguous(), position, right=True)
