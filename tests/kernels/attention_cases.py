"""Attention problems that the reference, the interpreted kernels and the kernels on a GPU are all put through.

The rule (FlashAttention's own tests): against the oracle in float64, the error is at most 2x (output) and 3x
(gradients) that of the oracle in the dtype under test.
"""

from __future__ import annotations

from dataclasses import dataclass

import attention_oracle
import torch

from genet5.kernels import cross_attention, windowed_attention
from genet5.kernels.philox import keep_mask

FLOOR = {torch.float64: 1e-12, torch.float32: 2e-6, torch.float16: 1e-3, torch.bfloat16: 8e-3}
SEED = 0x0123456789ABCDEF


@dataclass(frozen=True)
class Case:
    """One problem; `key_offsets` makes it cross-attention."""

    offsets: tuple[int, ...]
    window: tuple[int, int] = (-1, -1)
    causal: bool = False
    heads: int = 2
    kv_heads: int = 2
    size: int = 16
    alibi: bool = False
    dropout_p: float = 0.0
    padding: int = 0
    key_offsets: tuple[int, ...] | None = None

    @property
    def queries(self):
        return self.offsets[-1] + self.padding

    @property
    def keys(self):
        return (self.key_offsets or self.offsets)[-1] + self.padding

    def __str__(self):
        kind = "cross" if self.key_offsets else f"{self.window[0]},{self.window[1]}{'c' if self.causal else ''}"
        options = f"{'+alibi' if self.alibi else ''}{f'+drop{self.dropout_p}' if self.dropout_p else ''}"
        return f"{kind}-{self.heads}/{self.kv_heads}x{self.size}{options}-{'_'.join(map(str, self.offsets))}"


def _poisoned(shape, dtype, device, generator):
    """Normal values as a strided view in the middle of a buffer of NaN; the channels stay next to each other."""
    tokens, heads, size = shape
    buffer = torch.full((tokens + 64, heads + 2, size + 16), torch.nan, dtype=dtype, device=device)
    view = buffer[32 : 32 + tokens, 1 : 1 + heads, :size]
    view.copy_(torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype))
    return view


def inputs(case, dtype, device="cpu", poisoned=True):
    """q, k, v, slopes and the output's gradient."""
    generator = torch.Generator().manual_seed(20)
    q_shape, k_shape = (case.queries, case.heads, case.size), (case.keys, case.kv_heads, case.size)
    if poisoned:
        q, k, v, grad = (_poisoned(s, dtype, device, generator) for s in (q_shape, k_shape, k_shape, q_shape))
    else:
        q, k, v, grad = (
            torch.randn(s, generator=generator, dtype=torch.float64).to(dtype).to(device)
            for s in (q_shape, k_shape, k_shape, q_shape)
        )
    slopes = torch.rand(case.heads, generator=generator).to(device) if case.alibi else None
    return q, k, v, slopes, grad


def call(case, q, k, v, slopes):
    """The operator under test."""
    seed = torch.tensor([SEED], device=q.device)
    offsets = torch.tensor(case.offsets, dtype=torch.int32, device=q.device)
    if case.key_offsets is not None:
        keys = torch.tensor(case.key_offsets, dtype=torch.int32, device=q.device)
        return cross_attention(q, k, v, offsets, keys, None, slopes, case.dropout_p, dropout_seed=seed)
    return windowed_attention(
        q, k, v, offsets, case.window, slopes, case.dropout_p, causal=case.causal, dropout_seed=seed
    )


def expected(case, q, k, v, slopes):
    """The oracle, in the dtype of the inputs."""
    device = q.device
    if case.key_offsets is not None:
        mask = attention_oracle.cross_mask(case.offsets, case.key_offsets, case.queries, case.keys)
        distance = attention_oracle.anchor_distance(case.offsets, case.key_offsets, case.queries, case.keys)
    else:
        mask = attention_oracle.window_mask(case.offsets, case.queries, case.window, case.causal)
        position = torch.arange(case.queries)
        distance = (position[:, None] - position).abs()
    keep = None
    if case.dropout_p:
        sizes = (case.heads, case.queries, -(-case.keys // 4))
        heads, queries, groups = (torch.arange(n, device=device) for n in sizes)
        heads, queries, groups = heads[:, None, None], queries[None, :, None], groups[None, None, :]
        keep = keep_mask(SEED, heads, queries, groups, case.dropout_p)[:, :, : case.keys]
    return attention_oracle.attention(q, k, v, mask.to(device), distance.to(device), slopes, None, keep, case.dropout_p)


def with_gradients(function, case, q, k, v, slopes, grad):
    """Output and gradients of q, k, v."""
    leaves = [x.detach().requires_grad_() for x in (q, k, v)]
    out = function(case, *leaves, slopes)
    return (out, *torch.autograd.grad(out, leaves, grad))


def check(case, dtype, device="cpu", poisoned=True):
    """The operator against the oracle by the rule; fails with the name and the two errors."""
    q, k, v, slopes, grad = inputs(case, dtype, device, poisoned)
    got = with_gradients(call, case, q, k, v, slopes, grad)
    exact = with_gradients(expected, case, *(x.double() for x in (q, k, v)), slopes, grad.double())
    plain = with_gradients(expected, case, *(x.contiguous() for x in (q, k, v)), slopes, grad)
    for name, factor, mine, truth, torchs in zip(("out", "q", "k", "v"), (2, 3, 3, 3), got, exact, plain, strict=True):
        assert mine.dtype == dtype
        assert mine.is_contiguous()
        assert mine.isfinite().all(), f"{name} is not finite"
        if truth.numel() == 0:
            continue
        error = (mine.double() - truth).abs().max().item()
        allowed = factor * (torchs.double() - truth).abs().max().item() + FLOOR[dtype] * max(
            1.0, truth.abs().max().item()
        )
        assert error <= allowed, f"{name}: error {error:.3g}, allowed {allowed:.3g}"
    if case.padding:
        assert not got[0][-case.padding :].any()
        assert not any(x[-case.padding :].any() for x in got[1:])
