"""Windowed self-attention and cross-attention over packed segments, as PyTorch operators.

`genet5::attention_forward` and `genet5::attention_backward` are custom operators: `torch.compile` and `torch.export`
see one node each, and new lengths need no new compilation. What runs inside is chosen by `backend.use_triton`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from genet5.errors import InputError
from genet5.kernels import attention_reference
from genet5.kernels.backend import use_triton
from genet5.kernels.ranges import Ranges, anchor_positions, check_window, cross_ranges, window_ranges

_INPUTS = "Tensor q, Tensor k, Tensor v"
_RULE = (
    "Tensor rows, Tensor columns, Tensor? positions, Tensor? slopes, Tensor? seed, float dropout_p, float scale, "
    "int width"
)


@torch.library.custom_op(
    "genet5::attention_forward", mutates_args=(), schema=f"({_INPUTS}, {_RULE}) -> (Tensor, Tensor)"
)
def _forward(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    rows: Tensor,
    columns: Tensor,
    positions: Tensor | None,
    slopes: Tensor | None,
    seed: Tensor | None,
    dropout_p: float,
    scale: float,
    width: int,
) -> tuple[Tensor, Tensor]:
    if use_triton(q.device):
        from genet5.kernels import attention_triton

        return attention_triton.attention_forward(q, k, v, rows, positions, slopes, seed, dropout_p, scale, width)
    return attention_reference.attention_forward(q, k, v, rows, positions, slopes, seed, dropout_p, scale)


@_forward.register_fake
def _forward_fake(q: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    dtype = torch.float64 if q.dtype == torch.float64 else torch.float32
    return q.new_empty(q.shape), q.new_empty((q.shape[1], q.shape[0]), dtype=dtype)


@torch.library.custom_op(
    "genet5::attention_backward",
    mutates_args=(),
    schema=f"(Tensor grad, {_INPUTS}, Tensor out, Tensor lse, {_RULE}) -> (Tensor, Tensor, Tensor)",
)
def _backward(
    grad: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    out: Tensor,
    lse: Tensor,
    rows: Tensor,
    columns: Tensor,
    positions: Tensor | None,
    slopes: Tensor | None,
    seed: Tensor | None,
    dropout_p: float,
    scale: float,
    width: int,
) -> tuple[Tensor, Tensor, Tensor]:
    if use_triton(q.device):
        from genet5.kernels import attention_triton

        return attention_triton.attention_backward(
            grad, q, k, v, out, lse, rows, columns, positions, slopes, seed, dropout_p, scale, width
        )
    return attention_reference.attention_backward(
        grad, q, k, v, out, lse, rows, positions, slopes, seed, dropout_p, scale
    )


@_backward.register_fake
def _backward_fake(grad: Tensor, q: Tensor, k: Tensor, v: Tensor, *_: Any) -> tuple[Tensor, Tensor, Tensor]:
    return q.new_empty(q.shape), k.new_empty(k.shape), v.new_empty(v.shape)


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    q, k, v, rows, columns, positions, slopes, seed, ctx.dropout_p, ctx.scale, ctx.width = inputs
    ctx.save_for_backward(q, k, v, *output, rows, columns, positions, slopes, seed)
    # The log-sum-exp is for the backward pass only.
    ctx.mark_non_differentiable(output[1])
    ctx.set_materialize_grads(False)


def _autograd(ctx: Any, grad: Tensor | None, _: Tensor | None) -> tuple[Tensor | None, ...]:
    if grad is None:
        return (None,) * 11
    q, k, v, out, lse, rows, columns, positions, slopes, seed = ctx.saved_tensors
    grads = _backward(
        grad, q, k, v, out, lse, rows, columns, positions, slopes, seed, ctx.dropout_p, ctx.scale, ctx.width
    )
    return (*grads, *(None,) * 8)


_forward.register_autograd(_autograd, setup_context=_setup_context)


def windowed_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    segments: Tensor,
    window: tuple[int, int] = (-1, -1),
    alibi_slopes: Tensor | None = None,
    dropout_p: float = 0.0,
    scale: float | None = None,
    causal: bool = False,
    *,
    dropout_seed: Tensor | None = None,
    ranges: Ranges | None = None,
) -> Tensor:
    """Self-attention of packed segments within a window.

    Args:
        q: [tokens, heads, d], segments end to end.
        k, v: [tokens, kv_heads, d]; heads is a multiple of kv_heads, query head h reads h // (heads / kv_heads).
        segments: int32 or int64 offsets [S + 1], rising, first 0. Tokens past the last offset see nothing and return
            0.
        window: a query at i sees keys i - left .. i + right of its segment; -1 is unlimited.
        alibi_slopes: [heads], positive; adds -slope * |i - j| to the scores. They take no gradient.
        dropout_p: probability of dropping a weight, 0 <= p < 1.
        scale: of the scores, 1 / sqrt(d) by default.
        causal: no key after its query (right = 0).
        dropout_seed: int64 tensor of one element; drawn from the device's default generator by default.
        ranges: `window_ranges(segments, tokens, window, causal)` made before, one for all layers.

    Returns:
        [tokens, heads, d], contiguous, in q's dtype (autocast's dtype under autocast).

    Raises:
        InputError: for shapes, dtypes, windows or devices that do not fit; the sentence says which.
    """
    q, k, v = _prepared(q, k, v)
    if q.shape[0] != k.shape[0]:
        raise InputError(f"self-attention needs as many keys as queries, not {k.shape[0]} and {q.shape[0]}")
    if ranges is None:
        _check_segments(segments, "segments")
        ranges = window_ranges(segments.to(q.device), q.shape[0], window, causal)
    left, right = check_window(window, causal)
    width = -1 if left < 0 or right < 0 else left + right + 1
    return _attend(q, k, v, ranges, None, alibi_slopes, dropout_p, scale, dropout_seed, width)


def cross_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    q_segments: Tensor,
    k_segments: Tensor,
    q_positions: Tensor | None = None,
    alibi_slopes: Tensor | None = None,
    dropout_p: float = 0.0,
    scale: float | None = None,
    *,
    dropout_seed: Tensor | None = None,
    ranges: Ranges | None = None,
) -> Tensor:
    """Attention of each segment's queries on all keys of the same segment.

    Latents on tokens: queries are latents, `alibi_slopes` biases by the distance from each latent's anchor. The
        decoder on
    latents: one query a block of tokens (`segment_blocks`), no slopes.

    Args:
        q: [queries, heads, d].
        k, v: [keys, kv_heads, d]; heads is a multiple of kv_heads.
        q_segments, k_segments: int32 or int64 offsets [S + 1] of queries and keys; segments may be empty on either
            side.
        q_positions: float32 [queries], where each query stands among its segment's keys, as a key index; used with
            slopes only, `anchor_positions(q_segments, k_segments, queries)` by default. They take no gradient.
        alibi_slopes: [heads]; adds -slope * |q_position - index of the key within its segment|.
        dropout_p, scale, dropout_seed: as in `windowed_attention`.
        ranges: `cross_ranges(q_segments, k_segments, queries, keys)` made before, one for all layers.

    Returns:
        [queries, heads, d], contiguous, in q's dtype (autocast's dtype under autocast); 0 for queries without keys.

    Raises:
        InputError: for shapes, dtypes or devices that do not fit; the sentence says which.
    """
    q, k, v = _prepared(q, k, v)
    if ranges is None:
        _check_segments(q_segments, "q_segments")
        _check_segments(k_segments, "k_segments")
        ranges = cross_ranges(q_segments.to(q.device), k_segments.to(q.device), q.shape[0], k.shape[0])
    if alibi_slopes is None:
        q_positions = None
    elif q_positions is None:
        q_positions = anchor_positions(q_segments.to(q.device), k_segments.to(q.device), q.shape[0])
    else:
        if q_positions.shape != q.shape[:1]:
            raise InputError(f"q_positions is [queries] = [{q.shape[0]}], not {list(q_positions.shape)}")
        q_positions = q_positions.to(device=q.device, dtype=torch.float32)
    return _attend(q, k, v, ranges, q_positions, alibi_slopes, dropout_p, scale, dropout_seed, -1)


def _attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    ranges: Ranges,
    positions: Tensor | None,
    slopes: Tensor | None,
    dropout_p: float,
    scale: float | None,
    seed: Tensor | None,
    width: int,
) -> Tensor:
    _check_ranges(q, k, ranges)
    if slopes is not None:
        if slopes.shape != (q.shape[1],):
            raise InputError(f"alibi_slopes is [heads] = [{q.shape[1]}], not {list(slopes.shape)}")
        dtype = torch.float64 if q.dtype == torch.float64 else torch.float32
        slopes = slopes.detach().to(device=q.device, dtype=dtype)
    if not 0.0 <= dropout_p < 1.0:
        raise InputError(f"dropout_p is at least 0 and below 1, not {dropout_p}")
    if dropout_p == 0.0:
        seed = None
    elif seed is None:
        seed = torch.randint(1 << 62, (1,), dtype=torch.int64, device=q.device)
    scale = q.shape[-1] ** -0.5 if scale is None else float(scale)
    out, _ = _forward(q, k, v, ranges.rows, ranges.columns, positions, slopes, seed, float(dropout_p), scale, width)
    return out


def _prepared(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Checked, and in autocast's dtype under autocast."""
    if torch.is_autocast_enabled(q.device.type):
        # Autocast does not reach into custom operators.
        dtype = torch.get_autocast_dtype(q.device.type)
        q, k, v = q.to(dtype), k.to(dtype), v.to(dtype)
    _check_inputs(q, k, v)
    return q, k, v


def _check_segments(segments: Tensor, name: str) -> None:
    if segments.dim() != 1 or segments.shape[0] < 2 or segments.dtype not in (torch.int32, torch.int64):
        raise InputError(
            f"{name} is int32 or int64 offsets [S + 1] of at least one segment, "
            f"not {segments.dtype} {list(segments.shape)}"
        )


def _check_inputs(q: Tensor, k: Tensor, v: Tensor) -> None:
    for name, tensor in (("q", q), ("k", k), ("v", v)):
        if tensor.dim() != 3:
            raise InputError(f"{name} is [tokens, heads, d], not {tensor.dim()}-dimensional; flatten batch and length")
        if tensor.dtype != q.dtype or tensor.device != q.device:
            raise InputError(
                f"{name} is {tensor.dtype} on {tensor.device}, but q is {q.dtype} on {q.device}; they must agree"
            )
    if q.dtype not in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        raise InputError(f"attention takes float16, bfloat16, float32 or float64, not {q.dtype}")
    if k.shape != v.shape:
        raise InputError(f"k and v have one shape, not {list(k.shape)} and {list(v.shape)}")
    if q.shape[2] != k.shape[2]:
        raise InputError(f"heads of q and k have one size, not {q.shape[2]} and {k.shape[2]}")
    if k.shape[1] == 0 or q.shape[1] % k.shape[1]:
        raise InputError(f"{q.shape[1]} query heads are no multiple of {k.shape[1]} key/value heads")


def _check_ranges(q: Tensor, k: Tensor, ranges: Ranges) -> None:
    if ranges.rows.shape != (2, q.shape[0]) or ranges.columns.shape != (2, k.shape[0]):
        raise InputError(
            f"ranges are for {ranges.rows.shape[-1]} queries and {ranges.columns.shape[-1]} keys, "
            f"but there are {q.shape[0]} and {k.shape[0]}"
        )
