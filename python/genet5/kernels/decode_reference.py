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
    dtype = torch.float64 if q.dtype == torch.float64 else torch.float32
    positions = positions.to(torch.int64)
    row, slot = torch.arange(batch, device=q.device), torch.arange(window, device=q.device)
    own = positions % window
    cache_k[row, own] = k
    cache_v[row, own] = v
    keys, values = cache_k.to(dtype).permute(0, 2, 3, 1), cache_v.to(dtype).transpose(1, 2)
    scores = torch.matmul(q.to(dtype).view(batch, kv_heads, -1, size), keys).mul_(scale)
    # Slot s holds the last position that is s modulo the window.
    distance = (own[:, None] - slot) % window
    if slopes is not None:
        scores.addcmul_(distance[:, None, None].to(dtype), slopes.to(dtype).view(kv_heads, -1, 1), value=-1.0)
    unseen = distance > positions[:, None]
    if bool(unseen.any()):
        # Unwritten slots may hold anything, NaN included, which a weight of 0 would not silence.
        scores.masked_fill_(unseen[:, None, None], -torch.inf)
        values = values.masked_fill(unseen[:, None, :, None], 0.0)
    return torch.matmul(scores.softmax(-1), values).reshape(batch, heads, size).to(q.dtype)
