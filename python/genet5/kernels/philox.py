"""Dropout masks that can be computed again: Philox-4x32-10 counters instead of stored masks.

Salmon et al. (2011), "Parallel random numbers: as easy as 1, 2, 3". The counter is (query, key // 4, head, 0), the
key is the 64-bit seed; of the four words that come out, word `key % 4` belongs to the key. A weight is kept where
the word's upper 24 bits are at least `round(p * 2**24)`. The Triton kernels compute the same words.
"""

from __future__ import annotations

import torch
from torch import Tensor

_MASK = 0xFFFFFFFF
_MULTIPLIER_A, _MULTIPLIER_B = 0xD2511F53, 0xCD9E8D57
_WEYL_A, _WEYL_B = 0x9E3779B9, 0xBB67AE85


def threshold(dropout_p: float) -> int:
    """The least 24-bit word that keeps a weight."""
    return round(dropout_p * (1 << 24))


def philox_words(seed: int, c0: Tensor, c1: Tensor, c2: Tensor, c3: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Four 32-bit words (as int64) of Philox-4x32-10 at counters (c0, c1, c2, c3) that broadcast."""
    c0, c1, c2, c3 = torch.broadcast_tensors(*(c.to(torch.int64) for c in (c0, c1, c2, c3)))
    k0, k1 = seed & _MASK, (seed >> 32) & _MASK
    for _ in range(10):
        # The low 64 bits of a 32 x 32 product are right in int64 whatever its sign; the mask drops the sign's copies.
        a, b = c0 * _MULTIPLIER_A, c2 * _MULTIPLIER_B
        c0, c1, c2, c3 = (
            ((b >> 32) & _MASK) ^ c1 ^ k0,
            b & _MASK,
            ((a >> 32) & _MASK) ^ c3 ^ k1,
            a & _MASK,
        )
        k0, k1 = (k0 + _WEYL_A) & _MASK, (k1 + _WEYL_B) & _MASK
    return c0, c1, c2, c3


def keep_mask(seed: int, heads: Tensor, queries: Tensor, key_groups: Tensor, dropout_p: float) -> Tensor:
    """Which weights stay, bool, of the counters' broadcast shape with four times the last axis.

    Args:
        seed: 64-bit seed.
        heads, queries, key_groups: integer counters that broadcast; `key_groups` holds key // 4 along the last axis.
        dropout_p: probability that a weight is dropped.
    """
    words = torch.stack(philox_words(seed, queries, key_groups, heads, torch.zeros_like(heads)), -1)
    return ((words >> 8) >= threshold(dropout_p)).flatten(-2)
