"""Attention over ranges in Triton, forward and backward: what `attention_reference` defines, tile by tile.

A program owns a tile of queries (forward, gradient of the queries) or of keys (gradients of keys and values) and walks
the other side's stretch that the ranges allow: a border where each score is tested, the inside where none need be, a
border. Tiles out of the window or segment are never visited. A narrow window fits a tile or two, which are all
border: such kernels hold one loop only. The heads that share a key/value head are packed into a
tile's rows as far as their number has factors of two (row r is position r // PACK, head r % PACK), so that a small
window still fills the tile and keys are loaded once for all of them.

No atomics: the result is the same bit by bit in every run. Beside the output only the log-sum-exp (base 2) and, in
the backward pass, sum(grad * out) are kept, both float32 [heads, queries].

FlashAttention-2 (Dao 2023) describes the recomputation; there the loops run over dense blocks.
"""

from __future__ import annotations

import contextlib
import math
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from genet5.errors import InputError
from genet5.kernels.configuration import MAX_HEAD_SIZE, Kernel, Tile, choose, device_shared_memory, is_narrow
from genet5.kernels.philox import threshold as dropout_threshold

LOG2_E = 1.0 / math.log(2.0)
# Distance in the bias: none, |query - key|, |place of the query - key's index within the segment|.
NO_BIAS, OWN_INDEX, PLACE = 0, 1, 2


@triton.jit
def _kept(seed, query, head, key_start, threshold, ROWS: tl.constexpr, KEYS: tl.constexpr):
    """Dropout's survivors, bool [ROWS, KEYS]; one Philox call makes the words of four keys (`philox.keep_mask`)."""
    zero = tl.zeros([ROWS, KEYS // 4], tl.int32)
    group = key_start // 4 + tl.arange(0, KEYS // 4)
    w0, w1, w2, w3 = tl.philox(seed, zero + query[:, None], zero + group[None, :], zero + head[:, None], zero)
    k0 = ((w0 >> 8).to(tl.int32) >= threshold).to(tl.int8)
    k1 = ((w1 >> 8).to(tl.int32) >= threshold).to(tl.int8)
    k2 = ((w2 >> 8).to(tl.int32) >= threshold).to(tl.int8)
    k3 = ((w3 >> 8).to(tl.int32) >= threshold).to(tl.int8)
    words = tl.join(tl.join(k0, k2), tl.join(k1, k3))
    return tl.reshape(words, [ROWS, KEYS]) != 0


@triton.jit
def _distance(query, place, lower, key, BIAS: tl.constexpr):
    """Distance of queries [rows, 1] and keys [1, keys] (or transposed)."""
    if BIAS == 1:
        distance = tl.abs(query - key).to(tl.float32)
    else:
        distance = tl.abs(place - (key - lower).to(tl.float32))
    return distance


@triton.jit
def _spans(begin, end, full_begin, full_end, STEP: tl.constexpr):
    """Stretch [begin, end) cut in tiles of STEP from begin on: those of [inner, outer) lie within the full range."""
    inner = begin + tl.cdiv(tl.maximum(full_begin - begin, 0), STEP) * STEP
    outer = inner + tl.maximum(full_end - inner, 0) // STEP * STEP
    return inner, outer


@triton.jit
def _forward_span(
    acc, pivot, total, q, k, v, begin, end, first_key, last_key, lower, upper, query, head, place, slope, seed,
    k_token, v_token, scale, threshold,
    SIZE: tl.constexpr, PADDED: tl.constexpr, ROWS: tl.constexpr, KEYS: tl.constexpr, BIAS: tl.constexpr,
    DROPOUT: tl.constexpr, PRECISION: tl.constexpr, BORDER: tl.constexpr,
):  # fmt: skip
    channel = tl.arange(0, PADDED)
    offset = tl.arange(0, KEYS)
    for start in range(begin, end, KEYS):
        key = start + offset
        wide = tl.cast(start, tl.int64)
        k_tile = k + wide * k_token + offset[:, None] * k_token + channel[None, :]
        v_tile = v + wide * v_token + offset[:, None] * v_token + channel[None, :]
        inside = (channel < SIZE)[None, :]
        if BORDER:
            inside = inside & ((key >= first_key) & (key < last_key))[:, None]
        if BORDER or SIZE != PADDED:
            k_block = tl.load(k_tile, mask=inside, other=0.0)
        else:
            k_block = tl.load(k_tile)
        scores = tl.dot(q, tl.trans(k_block), input_precision=PRECISION) * scale
        if BIAS != 0:
            scores -= slope[:, None] * _distance(query[:, None], place[:, None], lower[:, None], key[None, :], BIAS)
        if BORDER:
            visible = (key[None, :] >= lower[:, None]) & (key[None, :] < upper[:, None])
            scores = tl.where(visible, scores, float("-inf"))
        highest = tl.maximum(pivot, tl.max(scores, 1))
        # Rows that have seen no key yet subtract 0 from -inf, never -inf from -inf.
        finite = tl.where(highest == float("-inf"), 0.0, highest)
        weights = tl.exp2(scores - finite[:, None])
        shrink = tl.exp2(pivot - finite)
        total = total * shrink + tl.sum(weights, 1)
        pivot = highest
        if DROPOUT:
            weights = tl.where(_kept(seed, query, head, start, threshold, ROWS, KEYS), weights, 0.0)
        if BORDER or SIZE != PADDED:
            v_block = tl.load(v_tile, mask=inside, other=0.0)
        else:
            v_block = tl.load(v_tile)
        acc = acc * shrink[:, None]
        acc = tl.dot(weights.to(v_block.dtype), v_block, acc, input_precision=PRECISION)
    return acc, pivot, total


@triton.jit(do_not_specialize=["queries", "threshold"])
def forward_kernel(
    q, k, v, out, lse, rows, positions, slopes, seeds,
    q_token, q_head, k_token, k_head, v_token, v_head,
    queries, scale, threshold, rescale,
    HEADS: tl.constexpr, GROUP: tl.constexpr, SIZE: tl.constexpr, PADDED: tl.constexpr, PACK: tl.constexpr,
    ROWS: tl.constexpr, KEYS: tl.constexpr, BIAS: tl.constexpr, DROPOUT: tl.constexpr, PRECISION: tl.constexpr,
    NARROW: tl.constexpr,
):  # fmt: skip
    """Output and log-sum-exp of one tile of queries, for PACK heads; grid (tiles, HEADS / PACK)."""
    POSITIONS: tl.constexpr = ROWS // PACK
    first = tl.program_id(0) * POSITIONS
    first_head = tl.program_id(1) * PACK
    row = tl.arange(0, ROWS)
    query = first + row // PACK
    head = first_head + row % PACK
    valid = query < queries
    last = tl.minimum(first + POSITIONS, queries) - 1

    lower = tl.load(rows + query, mask=valid, other=0)
    upper = tl.load(rows + queries + query, mask=valid, other=0)
    first_key, last_key = tl.load(rows + first), tl.load(rows + queries + last)
    # Starts are multiples of 4: the words of a Philox call are never split.
    begin = first_key // 4 * 4
    inner, outer = _spans(begin, last_key, tl.load(rows + last), tl.load(rows + queries + first), KEYS)

    channel = tl.arange(0, PADDED)
    stored = valid[:, None] & (channel < SIZE)[None, :]
    q_tile = q + first.to(tl.int64) * q_token + ((row // PACK) * q_token + head * q_head)[:, None] + channel[None, :]
    q_block = tl.load(q_tile, mask=stored, other=0.0)
    kv_head = first_head // GROUP
    k += kv_head * k_head
    v += kv_head * v_head
    place, slope, seed = lower.to(tl.float32), lower.to(tl.float32), 0
    if BIAS == 2:
        place = tl.load(positions + query, mask=valid, other=0.0)
    if BIAS != 0:
        slope = tl.load(slopes + head) * 1.4426950408889634
    if DROPOUT:
        seed = tl.load(seeds)

    acc = tl.zeros([ROWS, PADDED], tl.float32)
    pivot = tl.full([ROWS], float("-inf"), tl.float32)
    total = tl.zeros([ROWS], tl.float32)
    if NARROW:
        inner, outer = last_key, last_key
    acc, pivot, total = _forward_span(
        acc, pivot, total, q_block, k, v, begin, tl.minimum(inner, last_key), first_key, last_key, lower, upper,
        query, head, place, slope, seed, k_token, v_token, scale, threshold,
        SIZE, PADDED, ROWS, KEYS, BIAS, DROPOUT, PRECISION, True,
    )  # fmt: skip
    if not NARROW:
        acc, pivot, total = _forward_span(
            acc, pivot, total, q_block, k, v, inner, outer, first_key, last_key, lower, upper,
            query, head, place, slope, seed, k_token, v_token, scale, threshold,
            SIZE, PADDED, ROWS, KEYS, BIAS, DROPOUT, PRECISION, False,
        )  # fmt: skip
        acc, pivot, total = _forward_span(
            acc, pivot, total, q_block, k, v, outer, last_key, first_key, last_key, lower, upper,
            query, head, place, slope, seed, k_token, v_token, scale, threshold,
            SIZE, PADDED, ROWS, KEYS, BIAS, DROPOUT, PRECISION, True,
        )  # fmt: skip

    seen = total > 0.0
    total = tl.where(seen, total, 1.0)
    acc = acc * (rescale / total)[:, None]
    out_tile = out + first.to(tl.int64) * (HEADS * SIZE) + ((row // PACK) * (HEADS * SIZE) + head * SIZE)[:, None]
    tl.store(out_tile + channel[None, :], acc.to(out.dtype.element_ty), mask=stored)
    level = tl.where(seen, pivot + tl.log2(total), 0.0)
    tl.store(lse + head.to(tl.int64) * queries + query, level, mask=valid)


@triton.jit
def _grad_query_span(
    acc, q, grad, level, delta, k, v, begin, end, first_key, last_key, lower, upper, query, head, place, slope, seed,
    k_token, v_token, scale, threshold, rescale,
    SIZE: tl.constexpr, PADDED: tl.constexpr, ROWS: tl.constexpr, KEYS: tl.constexpr, BIAS: tl.constexpr,
    DROPOUT: tl.constexpr, PRECISION: tl.constexpr, BORDER: tl.constexpr,
):  # fmt: skip
    channel = tl.arange(0, PADDED)
    offset = tl.arange(0, KEYS)
    for start in range(begin, end, KEYS):
        key = start + offset
        wide = tl.cast(start, tl.int64)
        k_tile = k + wide * k_token + offset[:, None] * k_token + channel[None, :]
        v_tile = v + wide * v_token + offset[:, None] * v_token + channel[None, :]
        inside = (channel < SIZE)[None, :]
        if BORDER:
            inside = inside & ((key >= first_key) & (key < last_key))[:, None]
        if BORDER or SIZE != PADDED:
            k_block = tl.load(k_tile, mask=inside, other=0.0)
            v_block = tl.load(v_tile, mask=inside, other=0.0)
        else:
            k_block = tl.load(k_tile)
            v_block = tl.load(v_tile)
        scores = tl.dot(q, tl.trans(k_block), input_precision=PRECISION) * scale
        if BIAS != 0:
            scores -= slope[:, None] * _distance(query[:, None], place[:, None], lower[:, None], key[None, :], BIAS)
        weights = tl.exp2(scores - level[:, None])
        grad_weights = tl.dot(grad, tl.trans(v_block), input_precision=PRECISION)
        if DROPOUT:
            kept = _kept(seed, query, head, start, threshold, ROWS, KEYS)
            grad_weights = tl.where(kept, grad_weights * rescale, 0.0)
        grad_scores = weights * (grad_weights - delta[:, None])
        if BORDER:
            visible = (key[None, :] >= lower[:, None]) & (key[None, :] < upper[:, None])
            grad_scores = tl.where(visible, grad_scores, 0.0)
        acc = tl.dot(grad_scores.to(k_block.dtype), k_block, acc, input_precision=PRECISION)
    return acc


@triton.jit(do_not_specialize=["queries", "threshold"])
def grad_query_kernel(
    q, k, v, out, grad, grad_q, lse, deltas, rows, positions, slopes, seeds,
    q_token, q_head, k_token, k_head, v_token, v_head, grad_token, grad_head,
    queries, scale, threshold, rescale, plain_scale,
    HEADS: tl.constexpr, GROUP: tl.constexpr, SIZE: tl.constexpr, PADDED: tl.constexpr, PACK: tl.constexpr,
    ROWS: tl.constexpr, KEYS: tl.constexpr, BIAS: tl.constexpr, DROPOUT: tl.constexpr, PRECISION: tl.constexpr,
    NARROW: tl.constexpr,
):  # fmt: skip
    """Gradient of one tile of queries and sum(grad * out) of its rows; grid as in the forward kernel."""
    POSITIONS: tl.constexpr = ROWS // PACK
    first = tl.program_id(0) * POSITIONS
    first_head = tl.program_id(1) * PACK
    row = tl.arange(0, ROWS)
    query = first + row // PACK
    head = first_head + row % PACK
    valid = query < queries
    last = tl.minimum(first + POSITIONS, queries) - 1

    lower = tl.load(rows + query, mask=valid, other=0)
    upper = tl.load(rows + queries + query, mask=valid, other=0)
    first_key, last_key = tl.load(rows + first), tl.load(rows + queries + last)
    begin = first_key // 4 * 4
    inner, outer = _spans(begin, last_key, tl.load(rows + last), tl.load(rows + queries + first), KEYS)

    channel = tl.arange(0, PADDED)
    stored = valid[:, None] & (channel < SIZE)[None, :]
    wide = first.to(tl.int64)
    q_tile = q + wide * q_token + ((row // PACK) * q_token + head * q_head)[:, None] + channel[None, :]
    q_block = tl.load(q_tile, mask=stored, other=0.0)
    own = wide * (HEADS * SIZE) + ((row // PACK) * (HEADS * SIZE) + head * SIZE)[:, None] + channel[None, :]
    out_block = tl.load(out + own, mask=stored, other=0.0)
    grad_tile = grad + wide * grad_token + ((row // PACK) * grad_token + head * grad_head)[:, None] + channel[None, :]
    grad_block = tl.load(grad_tile, mask=stored, other=0.0)
    delta = tl.sum(out_block.to(tl.float32) * grad_block.to(tl.float32), 1)
    entry = head.to(tl.int64) * queries + query
    tl.store(deltas + entry, delta, mask=valid)
    level = tl.load(lse + entry, mask=valid, other=0.0)

    kv_head = first_head // GROUP
    k += kv_head * k_head
    v += kv_head * v_head
    place, slope, seed = lower.to(tl.float32), lower.to(tl.float32), 0
    if BIAS == 2:
        place = tl.load(positions + query, mask=valid, other=0.0)
    if BIAS != 0:
        slope = tl.load(slopes + head) * 1.4426950408889634
    if DROPOUT:
        seed = tl.load(seeds)

    acc = tl.zeros([ROWS, PADDED], tl.float32)
    if NARROW:
        inner, outer = last_key, last_key
    acc = _grad_query_span(
        acc, q_block, grad_block, level, delta, k, v, begin, tl.minimum(inner, last_key), first_key, last_key,
        lower, upper, query, head, place, slope, seed, k_token, v_token, scale, threshold, rescale,
        SIZE, PADDED, ROWS, KEYS, BIAS, DROPOUT, PRECISION, True,
    )  # fmt: skip
    if not NARROW:
        acc = _grad_query_span(
            acc, q_block, grad_block, level, delta, k, v, inner, outer, first_key, last_key,
            lower, upper, query, head, place, slope, seed, k_token, v_token, scale, threshold, rescale,
            SIZE, PADDED, ROWS, KEYS, BIAS, DROPOUT, PRECISION, False,
        )  # fmt: skip
        acc = _grad_query_span(
            acc, q_block, grad_block, level, delta, k, v, outer, last_key, first_key, last_key,
            lower, upper, query, head, place, slope, seed, k_token, v_token, scale, threshold, rescale,
            SIZE, PADDED, ROWS, KEYS, BIAS, DROPOUT, PRECISION, True,
        )  # fmt: skip
    tl.store(grad_q + own, (acc * plain_scale).to(grad_q.dtype.element_ty), mask=stored)


@triton.jit
def _grad_key_span(
    acc_k, acc_v, k, v, q, grad, lse, deltas, rows, positions, begin, end, first_query, last_query, lower, upper,
    first_key, head, slope, seed, q_token, q_head, grad_token, grad_head, queries, scale, threshold, rescale,
    SIZE: tl.constexpr, PADDED: tl.constexpr, PACK: tl.constexpr, ROWS: tl.constexpr, KEYS: tl.constexpr,
    BIAS: tl.constexpr, DROPOUT: tl.constexpr, PRECISION: tl.constexpr, BORDER: tl.constexpr,
):  # fmt: skip
    POSITIONS: tl.constexpr = ROWS // PACK
    channel = tl.arange(0, PADDED)
    row = tl.arange(0, ROWS)
    key = first_key + tl.arange(0, KEYS)
    q_row = (row // PACK) * q_token + head * q_head
    grad_row = (row // PACK) * grad_token + head * grad_head
    for start in range(begin, end, POSITIONS):
        query = start + row // PACK
        wide = tl.cast(start, tl.int64)
        q_tile = q + wide * q_token + q_row[:, None] + channel[None, :]
        grad_tile = grad + wide * grad_token + grad_row[:, None] + channel[None, :]
        entry = head.to(tl.int64) * queries + query
        if BORDER:
            valid = (query >= first_query) & (query < last_query)
            inside = valid[:, None] & (channel < SIZE)[None, :]
            q_block = tl.load(q_tile, mask=inside, other=0.0)
            grad_block = tl.load(grad_tile, mask=inside, other=0.0)
            level = tl.load(lse + entry, mask=valid, other=0.0)
            delta = tl.load(deltas + entry, mask=valid, other=0.0)
        else:
            valid = query >= 0
            if SIZE != PADDED:
                inside = (channel < SIZE)[None, :]
                q_block = tl.load(q_tile, mask=inside, other=0.0)
                grad_block = tl.load(grad_tile, mask=inside, other=0.0)
            else:
                q_block = tl.load(q_tile)
                grad_block = tl.load(grad_tile)
            level = tl.load(lse + entry)
            delta = tl.load(deltas + entry)
        # Keys are the rows here, so that the weights come out transposed, as both products need them.
        scores = tl.dot(k, tl.trans(q_block), input_precision=PRECISION) * scale
        if BIAS == 1:
            scores -= slope[None, :] * _distance(query[None, :], query[None, :], query[None, :], key[:, None], BIAS)
        if BIAS == 2:
            place = tl.load(positions + query, mask=valid, other=0.0)
            start_key = tl.load(rows + query, mask=valid, other=0)
            scores -= slope[None, :] * _distance(query[None, :], place[None, :], start_key[None, :], key[:, None], BIAS)
        weights = tl.exp2(scores - level[None, :])
        if BORDER:
            visible = (query[None, :] >= lower[:, None]) & (query[None, :] < upper[:, None])
            weights = tl.where(visible, weights, 0.0)
        grad_weights = tl.dot(v, tl.trans(grad_block), input_precision=PRECISION)
        kept_weights = weights
        if DROPOUT:
            kept = tl.trans(_kept(seed, query, head, first_key, threshold, ROWS, KEYS))
            kept_weights = tl.where(kept, weights * rescale, 0.0)
            grad_weights = tl.where(kept, grad_weights * rescale, 0.0)
        acc_v = tl.dot(kept_weights.to(grad_block.dtype), grad_block, acc_v, input_precision=PRECISION)
        grad_scores = weights * (grad_weights - delta[None, :])
        acc_k = tl.dot(grad_scores.to(q_block.dtype), q_block, acc_k, input_precision=PRECISION)
    return acc_k, acc_v


@triton.jit(do_not_specialize=["queries", "keys", "threshold"])
def grad_key_kernel(
    q, k, v, grad, grad_k, grad_v, lse, deltas, rows, columns, positions, slopes, seeds,
    q_token, q_head, k_token, k_head, v_token, v_head, grad_token, grad_head,
    queries, keys, scale, threshold, rescale, plain_scale,
    HEADS: tl.constexpr, GROUP: tl.constexpr, SIZE: tl.constexpr, PADDED: tl.constexpr, PACK: tl.constexpr,
    ROWS: tl.constexpr, KEYS: tl.constexpr, BIAS: tl.constexpr, DROPOUT: tl.constexpr, PRECISION: tl.constexpr,
    NARROW: tl.constexpr,
):  # fmt: skip
    """Gradients of one tile of keys and values, summed over the heads that read them; grid (tiles, kv heads)."""
    POSITIONS: tl.constexpr = ROWS // PACK
    KV_HEADS: tl.constexpr = HEADS // GROUP
    first = tl.program_id(0) * KEYS
    kv_head = tl.program_id(1)
    offset = tl.arange(0, KEYS)
    key = first + offset
    valid = key < keys
    last = tl.minimum(first + KEYS, keys) - 1

    lower = tl.load(columns + key, mask=valid, other=0)
    upper = tl.load(columns + keys + key, mask=valid, other=0)
    begin, end = tl.load(columns + first), tl.load(columns + keys + last)
    inner, outer = _spans(begin, end, tl.load(columns + last), tl.load(columns + keys + first), POSITIONS)

    channel = tl.arange(0, PADDED)
    stored = valid[:, None] & (channel < SIZE)[None, :]
    wide = first.to(tl.int64)
    k_tile = k + wide * k_token + kv_head * k_head + (offset * k_token)[:, None] + channel[None, :]
    v_tile = v + wide * v_token + kv_head * v_head + (offset * v_token)[:, None] + channel[None, :]
    k_block = tl.load(k_tile, mask=stored, other=0.0)
    v_block = tl.load(v_tile, mask=stored, other=0.0)
    seed = 0
    if DROPOUT:
        seed = tl.load(seeds)

    if NARROW:
        inner, outer = end, end
    acc_k = tl.zeros([KEYS, PADDED], tl.float32)
    acc_v = tl.zeros([KEYS, PADDED], tl.float32)
    for pack in range(0, GROUP // PACK):
        head = kv_head * GROUP + pack * PACK + tl.arange(0, ROWS) % PACK
        slope = head.to(tl.float32)
        if BIAS != 0:
            slope = tl.load(slopes + head) * 1.4426950408889634
        acc_k, acc_v = _grad_key_span(
            acc_k, acc_v, k_block, v_block, q, grad, lse, deltas, rows, positions, begin, tl.minimum(inner, end),
            begin, end, lower, upper, first, head, slope, seed, q_token, q_head, grad_token, grad_head, queries,
            scale, threshold, rescale,
            SIZE, PADDED, PACK, ROWS, KEYS, BIAS, DROPOUT, PRECISION, True,
        )  # fmt: skip
        if not NARROW:
            acc_k, acc_v = _grad_key_span(
                acc_k, acc_v, k_block, v_block, q, grad, lse, deltas, rows, positions, inner, outer,
                begin, end, lower, upper, first, head, slope, seed, q_token, q_head, grad_token, grad_head, queries,
                scale, threshold, rescale,
                SIZE, PADDED, PACK, ROWS, KEYS, BIAS, DROPOUT, PRECISION, False,
            )  # fmt: skip
            acc_k, acc_v = _grad_key_span(
                acc_k, acc_v, k_block, v_block, q, grad, lse, deltas, rows, positions, outer, end,
                begin, end, lower, upper, first, head, slope, seed, q_token, q_head, grad_token, grad_head, queries,
                scale, threshold, rescale,
                SIZE, PADDED, PACK, ROWS, KEYS, BIAS, DROPOUT, PRECISION, True,
            )  # fmt: skip
    own = wide * (KV_HEADS * SIZE) + (offset * (KV_HEADS * SIZE) + kv_head * SIZE)[:, None] + channel[None, :]
    tl.store(grad_k + own, (acc_k * plain_scale).to(grad_k.dtype.element_ty), mask=stored)
    tl.store(grad_v + own, acc_v.to(grad_v.dtype.element_ty), mask=stored)


def packed_heads(heads: int, kv_heads: int) -> int:
    """Query heads in a tile's rows: the largest power of two, at most 16, that divides heads / kv_heads."""
    group = heads // kv_heads
    return min(16, group & -group)


def constants(
    heads: int, kv_heads: int, size: int, bias: int, dropout: bool, precision: str, narrow: bool, tile: Tile
) -> dict[str, Any]:
    """The compile-time arguments of all three kernels."""
    return {
        "HEADS": heads,
        "GROUP": heads // kv_heads,
        "SIZE": size,
        "PADDED": max(16, triton.next_power_of_2(size)),
        "PACK": packed_heads(heads, kv_heads),
        "ROWS": tile.rows,
        "KEYS": tile.keys,
        "BIAS": bias,
        "DROPOUT": dropout,
        "PRECISION": precision,
        "NARROW": narrow,
    }


class _Launch:
    """What the kernels of one call have in common."""

    def __init__(
        self,
        q: Tensor,
        k: Tensor,
        positions: Tensor | None,
        slopes: Tensor | None,
        seed: Tensor | None,
        dropout_p: float,
        scale: float,
        width: int,
    ) -> None:
        self.queries, self.heads, self.size = q.shape
        self.kv_heads = k.shape[1]
        if q.dtype == torch.float64:
            raise InputError(
                "the kernels take float16, bfloat16 and float32; set GENET5_ATTENTION=reference for float64"
            )
        if self.size > MAX_HEAD_SIZE:
            raise InputError(f"the kernels take heads of at most {MAX_HEAD_SIZE}, not {self.size}")
        self.element = q.element_size()
        self.width = width
        self.device = q.device
        self.bias = NO_BIAS if slopes is None else OWN_INDEX if positions is None else PLACE
        self.dropout = dropout_p > 0.0
        self.scale = scale
        # A pointer is never read where the constants say that there is none.
        self.positions = q if positions is None else positions.contiguous()
        self.slopes = q if slopes is None else slopes.contiguous()
        self.seed = q if seed is None else seed
        self.threshold = dropout_threshold(dropout_p)
        self.rescale = 1.0 / (1.0 - dropout_p)
        # Float32 products follow torch's own setting.
        exact = torch.get_float32_matmul_precision() == "highest"
        self.precision = "ieee" if exact or q.dtype != torch.float32 else "tf32"

    def tile(self, kernel: Kernel) -> Tile:
        """The tile of a kernel; at least one position a tile, whatever is packed."""
        padded = max(16, triton.next_power_of_2(self.size))
        return choose(kernel, self.width, padded, self.element, device_shared_memory(self.device), self.dropout)

    def constants(self, tile: Tile) -> dict[str, Any]:
        """Compile-time arguments and launch options."""
        known = constants(
            self.heads, self.kv_heads, self.size, self.bias, self.dropout, self.precision, is_narrow(self.width), tile
        )
        return {**known, "num_warps": tile.warps, "num_stages": tile.stages, "enable_fp_fusion": True}

    def query_grid(self, tile: Tile) -> tuple[int, int]:
        """Programs over tiles of queries and packs of heads."""
        pack = packed_heads(self.heads, self.kv_heads)
        return triton.cdiv(self.queries, tile.rows // pack), self.heads // pack

    def on_device(self) -> contextlib.AbstractContextManager[Any]:
        """Makes the tensors' device the current one: Triton launches there."""
        return torch.cuda.device(self.device) if self.device.type == "cuda" else contextlib.nullcontext()


def _rows_of(x: Tensor) -> Tensor:
    """`x`, copied where the channels of a head are not next to each other."""
    return x if x.stride(-1) == 1 else x.contiguous()


def attention_forward(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    rows: Tensor,
    positions: Tensor | None,
    slopes: Tensor | None,
    seed: Tensor | None,
    dropout_p: float,
    scale: float,
    width: int,
) -> tuple[Tensor, Tensor]:
    """As `attention_reference.attention_forward`; `width` (keys of the window, -1 for none) chooses the tile."""
    launch = _Launch(q, k, positions, slopes, seed, dropout_p, scale, width)
    q, k, v, rows = _rows_of(q), _rows_of(k), _rows_of(v), rows.contiguous()
    if q.shape[0] == 0 or k.shape[0] == 0:
        return q.new_zeros(q.shape), q.new_zeros((q.shape[1], q.shape[0]), dtype=torch.float32)
    out = q.new_empty(q.shape)
    lse = q.new_empty((q.shape[1], q.shape[0]), dtype=torch.float32)
    tile = launch.tile("forward")
    with launch.on_device():
        forward_kernel[launch.query_grid(tile)](
            q, k, v, out, lse, rows, launch.positions, launch.slopes, launch.seed,
            q.stride(0), q.stride(1), k.stride(0), k.stride(1), v.stride(0), v.stride(1),
            launch.queries, scale * LOG2_E, launch.threshold, launch.rescale,
            **launch.constants(tile),
        )  # fmt: skip
    return out, lse


def attention_backward(
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
    """As `attention_reference.attention_backward`; the gradients are contiguous."""
    launch = _Launch(q, k, positions, slopes, seed, dropout_p, scale, width)
    q, k, v, grad = _rows_of(q), _rows_of(k), _rows_of(v), _rows_of(grad)
    out, lse, rows, columns = out.contiguous(), lse.contiguous(), rows.contiguous(), columns.contiguous()
    if q.shape[0] == 0 or k.shape[0] == 0:
        return q.new_zeros(q.shape), k.new_zeros(k.shape), v.new_zeros(v.shape)
    grad_q, grad_k, grad_v = q.new_empty(q.shape), k.new_empty(k.shape), v.new_empty(v.shape)
    delta = torch.empty_like(lse)
    query_tile, key_tile = launch.tile("grad_query"), launch.tile("grad_key")
    with launch.on_device():
        # The first kernel also leaves sum(grad * out), which the second one reads.
        grad_query_kernel[launch.query_grid(query_tile)](
            q, k, v, out, grad, grad_q, lse, delta, rows, launch.positions, launch.slopes, launch.seed,
            q.stride(0), q.stride(1), k.stride(0), k.stride(1), v.stride(0), v.stride(1), grad.stride(0),
            grad.stride(1), launch.queries, scale * LOG2_E, launch.threshold, launch.rescale, scale,
            **launch.constants(query_tile),
        )  # fmt: skip
        grad_key_kernel[(triton.cdiv(k.shape[0], key_tile.keys), k.shape[1])](
            q, k, v, grad, grad_k, grad_v, lse, delta, rows, columns, launch.positions, launch.slopes, launch.seed,
            q.stride(0), q.stride(1), k.stride(0), k.stride(1), v.stride(0), v.stride(1), grad.stride(0),
            grad.stride(1), launch.queries, k.shape[0], scale * LOG2_E, launch.threshold, launch.rescale, scale,
            **launch.constants(key_tile),
        )  # fmt: skip
    return grad_q, grad_k, grad_v
