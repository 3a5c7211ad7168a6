"""Attention over ranges in plain PyTorch: the definition, and what runs on a CPU.

For a query i of head h, over the keys `rows[0, i] <= j < rows[1, i]` (see `ranges`):

    score(i, j) = scale * q_i . k_j - slope_h * distance(i, j)
    out_i = sum_j softmax_j(score) * keep(h, i, j) / (1 - p) * v_j

`distance` is |i - j| in self-attention, and |position_i - (j - rows[0, i])| where positions are given. Query head h
reads key/value head h // (heads / kv_heads).

The work is cut into blocks of queries, each against the one stretch of keys that its rows can see, and blocks are
stacked into batched products: nothing is ever as large as queries x keys of a pack, and the backward pass computes
the weights again from the log-sum-exp (FlashAttention, Dao et al. 2022). Half-precision inputs are computed in
float32.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from genet5.kernels.philox import keep_mask

LOG2_E = 1.0 / math.log(2.0)
# Scores held at once, in elements, where a block does not take more: a stack and its copies stay in a core's cache.
_ELEMENTS = 1 << 17


class _Stack(NamedTuple):
    """Blocks [first, last) of queries; the keys they can see, [blocks, width], and the mask [blocks, block, width]."""

    first: int
    last: int
    keys: Tensor
    visible: Tensor


def _block_size(rows: Tensor) -> int:
    """Queries a block, by the mean number of keys a query: few scores out of the window are computed."""
    return 64 if rows.shape[1] and float((rows[1] - rows[0]).to(torch.float64).mean()) >= 256 else 32


def _stacks(rows: Tensor, block: int, heads: int) -> Iterator[_Stack]:
    queries = rows.shape[1]
    count = -(-queries // block)
    device = rows.device
    padded = torch.zeros(2, count * block, dtype=torch.int64, device=device)
    padded[:, :queries] = rows
    padded[:, queries:] = rows[1, -1]
    lower, upper = padded.view(2, count, block)
    # Starts are multiples of 4 so that the dropout counters (four keys a call) line up.
    start = (lower[:, 0] // 4 * 4).tolist()
    stop = upper[:, -1].tolist()
    first = 0
    while first < count:
        width, last = 0, first
        while last < count:
            wider = max(width, -(-(stop[last] - start[last]) // 4) * 4)
            if last > first and (last + 1 - first) * heads * block * wider > _ELEMENTS:
                break
            width, last = wider, last + 1
        if width > 0:
            position = torch.tensor(start[first:last], device=device)[:, None] + torch.arange(width, device=device)
            visible = (position[:, None, :] >= lower[first:last, :, None]) & (
                position[:, None, :] < upper[first:last, :, None]
            )
            yield _Stack(first, last, position, visible)
        first = last


class _Problem:
    """Inputs of one call, cut into blocks; shared by forward and backward."""

    def __init__(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        rows: Tensor,
        positions: Tensor | None,
        slopes: Tensor | None,
        seed: Tensor | None,
        dropout_p: float,
        scale: float,
    ) -> None:
        self.queries, self.heads, self.size = q.shape
        self.kv_heads = k.shape[1]
        self.group = self.heads // self.kv_heads
        self.dtype = torch.float64 if q.dtype == torch.float64 else torch.float32
        self.block = _block_size(rows)
        self.rows, self.positions, self.scale = rows, positions, scale
        # Keys past the last segment are never touched.
        self.end = int(rows[1, -1]) if self.queries else 0
        self.k, self.v = k.to(self.dtype), v.to(self.dtype)
        self.slopes = None if slopes is None else slopes.to(self.dtype).view(self.kv_heads, self.group, 1, 1)
        self.seed = int(seed) if seed is not None and dropout_p > 0 else None
        self.dropout_p = dropout_p

    def stacks(self) -> Iterator[_Stack]:
        """Stacks of blocks, in order."""
        return _stacks(self.rows, self.block, self.heads) if self.queries else iter(())

    def query_rows(self, x: Tensor, stack: _Stack) -> Tensor:
        """[queries, heads, d] -> [blocks, kv_heads, group * block, d] of a stack."""
        blocks, length = stack.last - stack.first, (stack.last - stack.first) * self.block
        part = x[stack.first * self.block : stack.last * self.block].to(self.dtype)
        if part.shape[0] < length:
            part = torch.cat((part, part.new_zeros(length - part.shape[0], *part.shape[1:])))
        part = part.view(blocks, self.block, self.kv_heads, self.group, -1)
        return part.permute(0, 2, 3, 1, 4).reshape(blocks, self.kv_heads, self.group * self.block, -1)

    def put_query_rows(self, target: Tensor, value: Tensor, stack: _Stack) -> None:
        """The inverse of `query_rows`, written into `target`."""
        blocks = stack.last - stack.first
        value = value.view(blocks, self.kv_heads, self.group, self.block, -1).permute(0, 3, 1, 2, 4)
        begin = stack.first * self.block
        end = min(stack.last * self.block, self.queries)
        target[begin:end] = value.reshape(blocks * self.block, self.heads, -1)[: end - begin].to(target.dtype)

    def key_rows(self, x: Tensor, stack: _Stack) -> Tensor:
        """[keys, kv_heads, d] -> [blocks, kv_heads, width, d] of a stack."""
        return x[stack.keys.clamp(max=self.end - 1)].transpose(1, 2)

    def add_key_rows(self, target: Tensor, value: Tensor, stack: _Stack) -> None:
        """Adds [blocks, kv_heads, width, d] to the keys of a stack, block by block in order."""
        for start, part in zip(stack.keys[:, 0].tolist(), value.transpose(1, 2), strict=True):
            length = min(part.shape[0], self.end - start)
            target[start : start + length] += part[:length]

    def _query_index(self, stack: _Stack) -> Tensor:
        index = torch.arange(stack.first * self.block, stack.last * self.block, device=stack.keys.device)
        return index.view(-1, self.block)

    def scores(self, q: Tensor, k: Tensor, stack: _Stack) -> Tensor:
        """Biased scores in base 2, [blocks, kv_heads, group, block, width]; -inf where a key is not seen."""
        blocks, width = stack.keys.shape
        scores = torch.matmul(q, k.transpose(-1, -2)).mul_(self.scale * LOG2_E)
        scores = scores.view(blocks, self.kv_heads, self.group, self.block, width)
        if self.slopes is not None:
            index = self._query_index(stack)
            if self.positions is None:
                distance = (index[:, :, None] - stack.keys[:, None, :]).abs().to(self.dtype)
            else:
                index = index.clamp(max=self.queries - 1)
                start = self.rows[0][index].to(torch.int64)
                place = self.positions.to(self.dtype)[index]
                distance = (place[:, :, None] - (stack.keys[:, None, :] - start[:, :, None])).abs()
            scores.addcmul_(distance[:, None, None], self.slopes, value=-LOG2_E)
        return scores.masked_fill_(~stack.visible[:, None, None], -math.inf)

    def keep(self, stack: _Stack) -> Tensor | None:
        """Dropout's factor 0 or 1 / (1 - p) of every weight, shaped as the scores; None without dropout."""
        if self.seed is None:
            return None
        heads = torch.arange(self.heads, device=stack.keys.device).view(self.kv_heads, self.group, 1, 1)
        index = self._query_index(stack)[:, None, None, :, None]
        groups = (stack.keys[:, ::4] // 4)[:, None, None, None, :]
        kept = keep_mask(self.seed, heads, index, groups, self.dropout_p)
        return kept.to(self.dtype).mul_(1.0 / (1.0 - self.dropout_p))


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
) -> tuple[Tensor, Tensor]:
    """Output [queries, heads, d] in q's dtype; log-sum-exp in base 2, [heads, queries], 0 without keys."""
    problem = _Problem(q, k, v, rows, positions, slopes, seed, dropout_p, scale)
    out = torch.zeros(q.shape, dtype=q.dtype, device=q.device)
    lse = torch.zeros(q.shape[0], q.shape[1], 1, dtype=problem.dtype, device=q.device)
    for stack in problem.stacks():
        scores = problem.scores(problem.query_rows(q, stack), problem.key_rows(problem.k, stack), stack)
        pivot = scores.amax(-1, keepdim=True)
        pivot.masked_fill_(pivot == -math.inf, 0.0)
        weights = scores.sub_(pivot).exp2_()
        total = weights.sum(-1, keepdim=True)
        total.masked_fill_(total == 0.0, 1.0)
        keep = problem.keep(stack)
        if keep is not None:
            weights = weights.mul_(keep)
        weights = weights.flatten(2, 3)
        value = torch.matmul(weights, problem.key_rows(problem.v, stack)).div_(total.flatten(2, 3))
        problem.put_query_rows(out, value, stack)
        problem.put_query_rows(lse, pivot.add_(total.log2_()).flatten(2, 3), stack)
    return out, lse.squeeze(-1).t().contiguous()


def attention_backward(
    grad: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    out: Tensor,
    lse: Tensor,
    rows: Tensor,
    positions: Tensor | None,
    slopes: Tensor | None,
    seed: Tensor | None,
    dropout_p: float,
    scale: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of q, k and v, in their shapes and dtypes."""
    problem = _Problem(q, k, v, rows, positions, slopes, seed, dropout_p, scale)
    grad_q = torch.zeros(q.shape, dtype=q.dtype, device=q.device)
    grad_k = torch.zeros(k.shape, dtype=problem.dtype, device=q.device)
    grad_v = torch.zeros(v.shape, dtype=problem.dtype, device=q.device)
    # sum_j weight(i, j) * d weight(i, j), without the weights.
    delta = (grad.to(problem.dtype) * out.to(problem.dtype)).sum(-1, keepdim=True)
    lse = lse.t().unsqueeze(-1)
    for stack in problem.stacks():
        query, key = problem.query_rows(q, stack), problem.key_rows(problem.k, stack)
        grad_out = problem.query_rows(grad, stack)
        scores = problem.scores(query, key, stack).flatten(2, 3)
        weights = scores.sub_(problem.query_rows(lse, stack)).exp2_()
        grad_weights = torch.matmul(grad_out, problem.key_rows(problem.v, stack).transpose(-1, -2))
        keep = problem.keep(stack)
        if keep is None:
            kept = weights
        else:
            keep = keep.flatten(2, 3)
            kept = weights * keep
            grad_weights.mul_(keep)
        problem.add_key_rows(grad_v, torch.matmul(kept.transpose(-1, -2), grad_out), stack)
        grad_scores = grad_weights.sub_(problem.query_rows(delta, stack)).mul_(weights).mul_(scale)
        problem.put_query_rows(grad_q, torch.matmul(grad_scores, key), stack)
        problem.add_key_rows(grad_k, torch.matmul(grad_scores.transpose(-1, -2), query), stack)
    return grad_q, grad_k.to(k.dtype), grad_v.to(v.dtype)
