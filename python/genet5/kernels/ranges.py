"""Which keys a query sees: packing, windows, causality and padding as one rule.

Tokens of a pack lie end to end; `segments` holds the cumulative lengths, `[S + 1]`, first 0. A query row `i` sees the
keys `rows[0, i] <= j < rows[1, i]`, and a key `j` is seen by the queries `columns[0, j] <= i < columns[1, j]`. All four
arrays rise, so that a tile's range is known from its first and last entry. Rows past the last segment (padding) see
nothing. They depend on the batch alone: build them once and hand them to every layer.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from genet5.errors import InputError


class Ranges(NamedTuple):
    """Visible keys of every query (`rows`, int32 `[2, queries]`) and the transpose (`columns`, int32 `[2, keys]`)."""

    rows: Tensor
    columns: Tensor


def _segment_bounds(segments: Tensor, tokens: int) -> tuple[Tensor, Tensor]:
    """Start and end of the segment of each of `tokens` positions; both the last offset past the last segment."""
    segments = segments.to(torch.int64)
    position = torch.arange(tokens, device=segments.device)
    # Counting the ends at or before a position skips empty segments.
    index = torch.searchsorted(segments[1:].contiguous(), position, right=True)
    start = segments[index]
    end = segments[(index + 1).clamp(max=segments.shape[0] - 1)]
    return start, end


def window_ranges(segments: Tensor, tokens: int, window: tuple[int, int] = (-1, -1), causal: bool = False) -> Ranges:
    """Ranges of self-attention: position i sees i - left .. i + right of its segment.

    Args:
        segments: integer offsets [S + 1], rising, first 0, last at most `tokens`.
        tokens: length of the pack.
        window: keys to the left and right of the query, itself not counted; -1 is unlimited.
        causal: no key after the query (right = 0).
    """
    left, right = check_window(window, causal)
    position = torch.arange(tokens, device=segments.device)
    start, end = _segment_bounds(segments, tokens)
    row_start = start if left < 0 else torch.maximum(start, position - left)
    row_end = end if right < 0 else torch.minimum(end, position + right + 1)
    column_start = start if right < 0 else torch.maximum(start, position - right)
    column_end = end if left < 0 else torch.minimum(end, position + left + 1)
    # Past the last segment both bounds are the last offset, which position - left may exceed.
    row_start, column_start = torch.minimum(row_start, row_end), torch.minimum(column_start, column_end)
    return Ranges(
        torch.stack((row_start, row_end)).to(torch.int32), torch.stack((column_start, column_end)).to(torch.int32)
    )


def cross_ranges(q_segments: Tensor, k_segments: Tensor, queries: int, keys: int) -> Ranges:
    """Ranges of cross-attention: a query of segment s sees all keys of segment s.

    Args:
        q_segments, k_segments: integer offsets [S + 1] of queries and keys, the same number of segments.
        queries, keys: lengths of the two packs.
    """
    if q_segments.shape != k_segments.shape:
        raise InputError(
            f"queries have {q_segments.shape[0] - 1} segments and keys {k_segments.shape[0] - 1}; they must be as many"
        )
    q_segments, k_segments = q_segments.to(torch.int64), k_segments.to(torch.int64)

    def bounds(own: Tensor, other: Tensor, length: int) -> Tensor:
        position = torch.arange(length, device=own.device)
        index = torch.searchsorted(own[1:].contiguous(), position, right=True)
        last = own.shape[0] - 1
        return torch.stack((other[index], other[(index + 1).clamp(max=last)])).to(torch.int32)

    return Ranges(bounds(q_segments, k_segments, queries), bounds(k_segments, q_segments, keys))


def anchor_positions(q_segments: Tensor, k_segments: Tensor, queries: int) -> Tensor:
    """Anchors of latents among the tokens of their segment, float32 `[queries]`, as token indices within the segment.

    Latent i of n stands at `(i + 1/2) / n` of its segment of m tokens; the centre of token j is j + 1/2. As an index
    that is `(i + 1/2) m / n - 1/2`: symmetric under reversal of the segment, and equal to i where n = m.
    """
    q_start, q_end = _segment_bounds(q_segments, queries)
    bounds = cross_ranges(q_segments, k_segments, queries, 0).rows
    position = torch.arange(queries, device=q_segments.device)
    latents = (q_end - q_start).clamp(min=1)
    tokens = (bounds[1] - bounds[0]).to(torch.int64)
    # Integers up to the one division: exact for any pack.
    numerator = (2 * (position - q_start) + 1) * tokens - latents
    return (numerator.to(torch.float64) / (2 * latents).to(torch.float64)).to(torch.float32)


class Blocks(NamedTuple):
    """Blocks of `size` tokens, counted from each segment's start.

    Attributes:
        offsets: int32 [S + 1], cumulative number of blocks of the segments.
        first_token: int64 [blocks], the pack index of each block's first token.
        block_of_token: int64 [tokens], the block of each token.
    """

    offsets: Tensor
    first_token: Tensor
    block_of_token: Tensor


def segment_blocks(segments: Tensor, tokens: int, size: int) -> Blocks:
    """Cut every segment into blocks of `size` tokens (the last one may be shorter).

    The decoder's cross-attention makes one query a block, `x[blocks.first_token]`, and broadcasts what comes back:
    `out[blocks.block_of_token]`. The number of blocks depends on the data: call this outside compiled code.
    """
    if size < 1:
        raise InputError(f"a block holds at least one token, not {size}")
    segments = segments.to(torch.int64)
    lengths = segments[1:] - segments[:-1]
    counts = (lengths + size - 1) // size
    offsets = torch.cat((counts.new_zeros(1), counts.cumsum(0)))
    position = torch.arange(tokens, device=segments.device)
    index = torch.searchsorted(segments[1:].contiguous(), position, right=True).clamp(max=lengths.shape[0] - 1)
    within = position - segments[index]
    block_of_token = offsets[index] + within // size
    first_token = torch.nonzero(within % size == 0).squeeze(1)
    return Blocks(offsets.to(torch.int32), first_token, block_of_token)


def check_window(window: tuple[int, int], causal: bool) -> tuple[int, int]:
    """`(left, right)` with causality folded in; `InputError` for anything but two integers of at least -1."""
    if len(window) != 2 or any(not isinstance(side, int) or side < -1 for side in window):
        raise InputError(f"window is two integers of at least -1 (-1 is unlimited), not {window!r}")
    left, right = window
    return left, 0 if causal else right
