"""One decoding step against a ring of the last keys and values, in Triton: a program a sequence and key/value head."""

from __future__ import annotations

import contextlib

import torch
import triton
import triton.language as tl
from torch import Tensor

from genet5.errors import InputError


@triton.jit
def window_decode_kernel(
    q, k, v, cache_k, cache_v, positions, slopes, out,
    q_batch, q_head, k_batch, k_head, v_batch, v_head, ck_batch, ck_slot, ck_head, cv_batch, cv_slot, cv_head, scale,
    HEADS: tl.constexpr, GROUP: tl.constexpr, SIZE: tl.constexpr, WINDOW: tl.constexpr, BIAS: tl.constexpr,
    PADDED_GROUP: tl.constexpr, PADDED: tl.constexpr, SLOTS: tl.constexpr,
):  # fmt: skip
    """Grid (batch, kv heads); the query heads of the group share the loads."""
    batch, kv_head = tl.program_id(0).to(tl.int64), tl.program_id(1)
    position = tl.load(positions + batch).to(tl.int32)
    own_slot = position % WINDOW
    channel = tl.arange(0, PADDED)
    within = channel < SIZE
    member = tl.arange(0, PADDED_GROUP)
    head = kv_head * GROUP + member
    mine = (member < GROUP)[:, None] & within[None, :]
    query = tl.load(q + batch * q_batch + head[:, None] * q_head + channel[None, :], mask=mine, other=0.0)
    query = query.to(tl.float32) * scale
    slope = tl.zeros([PADDED_GROUP], tl.float32)
    if BIAS:
        slope = tl.load(slopes + head, mask=member < GROUP, other=0.0) * 1.4426950408889634

    # The new key comes from the arguments and not from the ring: this program may not have written it yet.
    new_k = tl.load(k + batch * k_batch + kv_head * k_head + channel, mask=within, other=0.0)
    new_v = tl.load(v + batch * v_batch + kv_head * v_head + channel, mask=within, other=0.0)
    pivot = tl.sum(query * new_k.to(tl.float32)[None, :], 1)
    total = tl.full([PADDED_GROUP], 1.0, tl.float32)
    acc = tl.zeros([PADDED_GROUP, PADDED], tl.float32) + new_v.to(tl.float32)[None, :]

    ring_k = cache_k + batch * ck_batch + kv_head * ck_head
    ring_v = cache_v + batch * cv_batch + kv_head * cv_head
    for start in range(0, WINDOW, SLOTS):
        slot = start + tl.arange(0, SLOTS)
        distance = (position - slot + WINDOW) % WINDOW
        distance = tl.where(distance < 0, distance + WINDOW, distance)
        seen = (slot < WINDOW) & (distance <= position) & (slot != own_slot)
        inside = seen[:, None] & within[None, :]
        keys = tl.load(ring_k + slot[:, None] * ck_slot + channel[None, :], mask=inside, other=0.0)
        values = tl.load(ring_v + slot[:, None] * cv_slot + channel[None, :], mask=inside, other=0.0)
        scores = tl.sum(query[:, None, :] * keys.to(tl.float32)[None, :, :], 2)
        scores -= slope[:, None] * distance.to(tl.float32)[None, :]
        scores = tl.where(seen[None, :], scores, float("-inf"))
        highest = tl.maximum(pivot, tl.max(scores, 1))
        weights = tl.exp2(scores - highest[:, None])
        shrink = tl.exp2(pivot - highest)
        total = total * shrink + tl.sum(weights, 1)
        acc = acc * shrink[:, None] + tl.sum(weights[:, :, None] * values.to(tl.float32)[None, :, :], 1)
        pivot = highest
    acc = acc / total[:, None]
    own = out + batch * (HEADS * SIZE) + head[:, None] * SIZE + channel[None, :]
    tl.store(own, acc.to(out.dtype.element_ty), mask=mine)
    tl.store(ring_k + own_slot * ck_slot + channel, new_k, mask=within)
    tl.store(ring_v + own_slot * cv_slot + channel, new_v, mask=within)


def constants(heads: int, kv_heads: int, size: int, window: int, bias: bool) -> dict[str, int | bool]:
    """The compile-time arguments; a step holds 2,048 products a query head at most."""
    padded = triton.next_power_of_2(size)
    return {
        "HEADS": heads,
        "GROUP": heads // kv_heads,
        "SIZE": size,
        "WINDOW": window,
        "BIAS": bias,
        "PADDED_GROUP": triton.next_power_of_2(heads // kv_heads),
        "PADDED": padded,
        "SLOTS": min(triton.next_power_of_2(window), max(1, 2048 // padded)),
    }


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
    """As `decode_reference.window_decode_step`."""
    if q.dtype == torch.float64:
        raise InputError("the kernels take float16, bfloat16 and float32; set GENET5_ATTENTION=reference for float64")
    if cache_k.stride(-1) != 1 or cache_v.stride(-1) != 1:
        raise InputError("the caches are written in place and need the channels of a head next to each other")
    q, k, v = (x if x.stride(-1) == 1 else x.contiguous() for x in (q, k, v))
    batch, heads, size = q.shape
    out = q.new_empty(q.shape)
    if batch == 0:
        return out
    with torch.cuda.device(q.device) if q.device.type == "cuda" else contextlib.nullcontext():
        window_decode_kernel[(batch, k.shape[1])](
            q, k, v, cache_k, cache_v, positions.contiguous(), q if slopes is None else slopes.contiguous(), out,
            *q.stride()[:2], *k.stride()[:2], *v.stride()[:2], *cache_k.stride()[:3], *cache_v.stride()[:3],
            scale * 1.4426950408889634,
            **constants(heads, k.shape[1], size, cache_k.shape[1], slopes is not None), num_warps=4,
            enable_fp_fusion=True,
        )  # fmt: skip
    return out
