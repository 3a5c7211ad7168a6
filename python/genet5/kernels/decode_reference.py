"""One decoding step against a ring of the last keys and values, in plain PyTorch."""

from __future__ import annotations

import torch
from torch import Tensor


def window_decode_step(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    cache_k: Tensor,
    cache_v: Tensor,
    positions: Tensor,
    slopes: Tensor | None,
    scale: float,
) -> Tensor:
    """See `genet5.kernels.window_decode_step`; writes the caches in place."""
    batch, heads, size = q.shape
    window, kv_heads = cache_k.shape[1], cache_k.shape[2]
    positions = positions.to(torch.int64)
    row = torch.arange(batch, device=q.device)
    cache_k[row, positions % window] = k
    cache_v[row, positions % window] = v
    dtype = torch.float64 if q.dtype == torch.float64 else torch.float32
    # Slot s holds the last position that is s modulo the window.
    distance = (positions[:, None] - torch.arange(window, device=q.device)) % window
    grouped = q.to(dtype).view(batch, kv_heads, heads // kv_heads, size)
    scores = torch.einsum("bhgd,bwhd->bhgw", grouped, cache_k.to(dtype)) * scale
    if slopes is not None:
        scores = scores - slopes.to(dtype).view(kv_heads, -1, 1) * distance[:, None, None].to(dtype)
    unseen = (distance > positions[:, None])[:, None, None]
    weights = scores.masked_fill(unseen, -torch.inf).softmax(-1)
    # Unwritten slots may hold anything, NaN included, which a weight of 0 would not silence.
    values = cache_v.to(dtype).masked_fill((distance > positions[:, None])[:, :, None, None], 0.0)
    return torch.einsum("bhgw,bwhd->bhgd", weights, values).reshape(batch, heads, size).to(q.dtype)
