"""Generation's self-attention: one new token a sequence against a ring of its last keys and values."""

from __future__ import annotations

from types import ModuleType

import torch
from torch import Tensor

from genet5.errors import InputError
from genet5.kernels import decode_reference
from genet5.kernels.backend import use_triton


def _implementation(device: torch.device) -> ModuleType:
    if use_triton(device):
        from genet5.kernels import decode_triton

        return decode_triton
    return decode_reference


@torch.library.custom_op(
    "genet5::window_decode_step",
    mutates_args=("cache_k", "cache_v"),
    schema=(
        "(Tensor q, Tensor k, Tensor v, Tensor(a!) cache_k, Tensor(b!) cache_v, Tensor positions, Tensor? slopes, "
        "float scale) -> Tensor"
    ),
)
def _step(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    cache_k: Tensor,
    cache_v: Tensor,
    positions: Tensor,
    slopes: Tensor | None,
    scale: float,
) -> Tensor:
    out: Tensor = _implementation(q.device).window_decode_step(q, k, v, cache_k, cache_v, positions, slopes, scale)
    return out


@_step.register_fake
def _step_fake(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    cache_k: Tensor,
    cache_v: Tensor,
    positions: Tensor,
    slopes: Tensor | None,
    scale: float,
) -> Tensor:
    return q.new_empty(q.shape)


def window_decode_step(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    cache_k: Tensor,
    cache_v: Tensor,
    positions: Tensor,
    alibi_slopes: Tensor | None = None,
    scale: float | None = None,
) -> Tensor:
    """Attention of one new token a sequence on itself and the window - 1 tokens before it. No gradient.

    The new keys and values are written into the ring, in place, at slot `position % window`.

    Args:
        q: [batch, heads, d].
        k, v: [batch, kv_heads, d], of the new tokens.
        cache_k, cache_v: [batch, window, kv_heads, d]; the window counts the token itself (`window=(window - 1, 0)`
            in `windowed_attention`).
        positions: int32 or int64 [batch], how many tokens each sequence had before this one (0 for the first).
        alibi_slopes: [heads]; adds -slope * distance.
        scale: of the scores, 1 / sqrt(d) by default.

    Returns:
        [batch, heads, d] in q's dtype.

    Raises:
        InputError: for shapes or dtypes that do not fit.
    """
    if torch.is_autocast_enabled(q.device.type):
        q, k, v = q.to(cache_k.dtype), k.to(cache_k.dtype), v.to(cache_k.dtype)
    if q.dim() != 3 or k.dim() != 3 or cache_k.dim() != 4:
        raise InputError(
            "q is [batch, heads, d], k and v [batch, kv_heads, d], the caches [batch, window, kv_heads, d]"
        )
    batch, heads, size = q.shape
    expected = (batch, cache_k.shape[1], k.shape[1], size)
    if k.shape != v.shape or tuple(cache_k.shape) != expected or cache_v.shape != cache_k.shape:
        raise InputError(
            f"q {list(q.shape)}, k {list(k.shape)}, v {list(v.shape)} and caches {list(cache_k.shape)}, "
            f"{list(cache_v.shape)} do not fit together"
        )
    if k.shape[1] == 0 or heads % k.shape[1]:
        raise InputError(f"{heads} query heads are no multiple of {k.shape[1]} key/value heads")
    if positions.shape != (batch,) or positions.dtype not in (torch.int32, torch.int64):
        raise InputError(
            f"positions is int32 or int64 [batch] = [{batch}], not {positions.dtype} {list(positions.shape)}"
        )
    for name, tensor in (("k", k), ("v", v), ("cache_k", cache_k), ("cache_v", cache_v)):
        if tensor.dtype != q.dtype or tensor.device != q.device:
            raise InputError(f"{name} is {tensor.dtype} on {tensor.device}, but q is {q.dtype} on {q.device}")
    if alibi_slopes is not None and alibi_slopes.shape != (heads,):
        raise InputError(f"alibi_slopes is [heads] = [{heads}], not {list(alibi_slopes.shape)}")
    slopes = None if alibi_slopes is None else alibi_slopes.to(device=q.device, dtype=torch.float32)
    scale = size**-0.5 if scale is None else float(scale)
    inputs = (q.detach(), k.detach(), v.detach(), cache_k, cache_v, positions.to(q.device), slopes, scale)
    # The operator is for tracing; calling it costs more than a step of a small model takes.
    out: Tensor = (
        _step(*inputs) if torch.compiler.is_compiling() else _implementation(q.device).window_decode_step(*inputs)
    )
    return out
