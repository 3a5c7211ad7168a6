"""Attention with an explicit mask over the whole pack, in any dtype: what every implementation is compared with."""

from __future__ import annotations

import torch


def segment_of(offsets, tokens):
    """Segment of each token, -1 past the last."""
    out = torch.full((tokens,), -1)
    for s in range(len(offsets) - 1):
        out[offsets[s] : offsets[s + 1]] = s
    return out


def window_mask(offsets, tokens, window, causal):
    segment = segment_of(offsets, tokens)
    i, j = torch.arange(tokens)[:, None], torch.arange(tokens)[None, :]
    mask = (segment[:, None] == segment[None, :]) & (segment[:, None] >= 0)
    left, right = window
    if causal:
        right = 0
    if left >= 0:
        mask &= j >= i - left
    if right >= 0:
        mask &= j <= i + right
    return mask


def cross_mask(q_offsets, k_offsets, queries, keys):
    q, k = segment_of(q_offsets, queries), segment_of(k_offsets, keys)
    return (q[:, None] == k[None, :]) & (q[:, None] >= 0)


def anchor_distance(q_offsets, k_offsets, queries, keys):
    """|anchor - key| within the segment; anchors at (i + 1/2) / n of the segment, as float32 indices."""
    out = torch.zeros(queries, keys, dtype=torch.float64)
    for s in range(len(q_offsets) - 1):
        n, m = q_offsets[s + 1] - q_offsets[s], k_offsets[s + 1] - k_offsets[s]
        for i in range(n):
            anchor = torch.tensor(((2 * i + 1) * m - n) / (2 * n), dtype=torch.float32).double()
            out[q_offsets[s] + i, k_offsets[s] : k_offsets[s + 1]] = (anchor - torch.arange(m)).abs()
    return out


def attention(q, k, v, mask, distance=None, slopes=None, scale=None, keep=None, dropout_p=0.0):
    """q [Tq, H, d], k and v [Tk, Hk, d], mask and distance [Tq, Tk], keep [H, Tq, Tk] bool or None."""
    group = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    scores = torch.einsum("ihd,jhd->hij", q, k) * scale
    if slopes is not None:
        scores = scores - slopes.to(q.dtype)[:, None, None] * distance.to(q.dtype)
    scores = scores.masked_fill(~mask, -torch.inf)
    weights = scores.softmax(-1).masked_fill(~mask.any(-1, keepdim=True), 0.0)
    if keep is not None:
        weights = weights * keep / (1 - dropout_p)
    return torch.einsum("hij,jhd->ihd", weights, v)
