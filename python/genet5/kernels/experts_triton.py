"""The experts' gated MLP in Triton: grouped matrix products, with the activation in the first one's epilogue.

Rows are sorted by expert. A program finds its expert from the offsets on the device, so nothing waits for the host;
the grid has room for one part-filled tile an expert, and the programs after the last tile clear the rows that belong
to no expert. Sums run in a fixed order.
"""

from __future__ import annotations

import contextlib
from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from genet5.errors import InputError
from genet5.kernels.configuration import device_shared_memory


class GroupedTile(NamedTuple):
    """Output rows and columns of a program, depth of a step, warps and pipeline stages."""

    rows: int
    columns: int
    depth: int
    warps: int
    stages: int


TILES = (
    GroupedTile(128, 128, 64, 8, 3),
    GroupedTile(128, 64, 64, 8, 2),
    GroupedTile(64, 64, 64, 4, 2),
    GroupedTile(64, 64, 32, 4, 2),
    GroupedTile(32, 32, 32, 4, 1),
)
# With the activation: two accumulators, or an epilogue of as many registers.
GATED_TILES = (
    GroupedTile(128, 64, 64, 8, 3),
    GroupedTile(64, 64, 64, 8, 2),
    GroupedTile(64, 32, 32, 4, 2),
    GroupedTile(32, 32, 32, 4, 1),
)


@triton.jit
def _activated(x, ACTIVATION: tl.constexpr):
    if ACTIVATION == "gelu":
        y = x * 0.5 * (1.0 + tl.erf(x * 0.7071067811865476))
    elif ACTIVATION == "silu":
        y = x * tl.sigmoid(x)
    else:
        y = tl.maximum(x, 0.0)
    return y


@triton.jit
def _derivative(x, ACTIVATION: tl.constexpr):
    if ACTIVATION == "gelu":
        cumulative = 0.5 * (1.0 + tl.erf(x * 0.7071067811865476))
        y = cumulative + x * tl.exp(-0.5 * x * x) * 0.3989422804014327
    elif ACTIVATION == "silu":
        s = tl.sigmoid(x)
        y = s * (1.0 + x * (1.0 - s))
    else:
        y = tl.where(x > 0.0, 1.0, 0.0)
    return y


@triton.jit
def _own_rows(offsets, tile, rows, EXPERTS: tl.constexpr, SLOTS: tl.constexpr, ROWS: tl.constexpr):
    """Expert (EXPERTS: none), first row and end row of a tile; an expert's tiles are counted from its first row."""
    slot = tl.arange(0, SLOTS)
    end = tl.load(offsets + slot, mask=slot < EXPERTS, other=0)
    begin = tl.load(offsets + slot - 1, mask=(slot > 0) & (slot < EXPERTS), other=0)
    tiles = (end - begin + ROWS - 1) // ROWS
    before = tl.cumsum(tiles, 0)
    expert = tl.sum(((before <= tile) & (slot < EXPERTS)).to(tl.int32), 0)
    index = tile - tl.sum(tl.where(slot < expert, tiles, 0), 0)
    start = tl.load(offsets + expert - 1, mask=expert > 0, other=0)
    stop = tl.load(offsets + expert, mask=expert < EXPERTS, other=rows)
    return expert, start + index * ROWS, stop


@triton.jit
def _product(
    acc, a_tile, b_tile, inside_rows, inside_columns, depth, a_step, b_step,
    DEPTH: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """acc + A B over `depth`; the tiles of pointers advance by their steps."""
    offset = tl.arange(0, DEPTH)
    for start in range(0, depth, DEPTH):
        inside = offset < depth - start
        a = tl.load(a_tile, mask=inside_rows[:, None] & inside[None, :], other=0.0)
        b = tl.load(b_tile, mask=inside[:, None] & inside_columns[None, :], other=0.0)
        acc = tl.dot(a, b, acc, input_precision=PRECISION)
        a_tile += DEPTH * a_step
        b_tile += DEPTH * b_step
    return acc


@triton.jit(do_not_specialize=["rows"])
def gate_up_kernel(
    x, weight, offsets, pre, hidden, x_row, rows, width,
    HIDDEN: tl.constexpr, EXPERTS: tl.constexpr, SLOTS: tl.constexpr, ACTIVATION: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """pre = x W^T (both halves) and hidden = act(gate) * up; grid (row tiles, cdiv(HIDDEN, COLUMNS))."""
    expert, first, stop = _own_rows(offsets, tl.program_id(0), rows, EXPERTS, SLOTS, ROWS)
    if expert < EXPERTS:
        row = tl.arange(0, ROWS)
        column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
        channel = tl.arange(0, DEPTH)
        inside_rows, inside_columns = row < stop - first, column < HIDDEN
        wide = first.to(tl.int64)
        a_tile = x + wide * x_row + row[:, None] * x_row + channel[None, :]
        own = weight + expert.to(tl.int64) * (2 * HIDDEN) * width
        gate_tile = own + column[None, :] * width + channel[:, None]
        up_tile = gate_tile + HIDDEN * width
        gate = tl.zeros([ROWS, COLUMNS], tl.float32)
        up = tl.zeros([ROWS, COLUMNS], tl.float32)
        for start in range(0, width, DEPTH):
            inside = channel < width - start
            a = tl.load(a_tile, mask=inside_rows[:, None] & inside[None, :], other=0.0)
            b = tl.load(gate_tile, mask=inside[:, None] & inside_columns[None, :], other=0.0)
            gate = tl.dot(a, b, gate, input_precision=PRECISION)
            c = tl.load(up_tile, mask=inside[:, None] & inside_columns[None, :], other=0.0)
            up = tl.dot(a, c, up, input_precision=PRECISION)
            a_tile += DEPTH
            gate_tile += DEPTH
            up_tile += DEPTH
        stored = inside_rows[:, None] & inside_columns[None, :]
        pre_tile = pre + wide * (2 * HIDDEN) + row[:, None] * (2 * HIDDEN) + column[None, :]
        gate, up = gate.to(pre.dtype.element_ty), up.to(pre.dtype.element_ty)
        tl.store(pre_tile, gate, mask=stored)
        tl.store(pre_tile + HIDDEN, up, mask=stored)
        # From the rounded values, as the backward pass sees them.
        y = _activated(gate.to(tl.float32), ACTIVATION) * up.to(tl.float32)
        hidden_tile = hidden + wide * HIDDEN + row[:, None] * HIDDEN + column[None, :]
        tl.store(hidden_tile, y.to(hidden.dtype.element_ty), mask=stored)


@triton.jit(do_not_specialize=["rows"])
def rows_kernel(
    a, b, offsets, out, a_row, b_expert, b_depth, b_column, rows, depth,
    WIDTH: tl.constexpr, EXPERTS: tl.constexpr, SLOTS: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """out = A B_expert, and 0 for rows of no expert; grid (row tiles, cdiv(WIDTH, COLUMNS))."""
    expert, first, stop = _own_rows(offsets, tl.program_id(0), rows, EXPERTS, SLOTS, ROWS)
    row = tl.arange(0, ROWS)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    channel = tl.arange(0, DEPTH)
    inside_rows, inside_columns = row < stop - first, column < WIDTH
    wide = first.to(tl.int64)
    acc = tl.zeros([ROWS, COLUMNS], tl.float32)
    if expert < EXPERTS:
        a_tile = a + wide * a_row + row[:, None] * a_row + channel[None, :]
        b_tile = b + expert.to(tl.int64) * b_expert + channel[:, None] * b_depth + column[None, :] * b_column
        acc = _product(acc, a_tile, b_tile, inside_rows, inside_columns, depth, 1, b_depth, DEPTH, PRECISION)
    out_tile = out + wide * WIDTH + row[:, None] * WIDTH + column[None, :]
    tl.store(out_tile, acc.to(out.dtype.element_ty), mask=inside_rows[:, None] & inside_columns[None, :])


@triton.jit(do_not_specialize=["rows"])
def grad_hidden_kernel(
    grad, weight, offsets, pre, hidden, grad_pre, grad_row, rows, width,
    HIDDEN: tl.constexpr, EXPERTS: tl.constexpr, SLOTS: tl.constexpr, ACTIVATION: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """grad_hidden = grad W, from it the gradient of `pre`, and `hidden`; grid (row tiles, cdiv(HIDDEN, COLUMNS))."""
    expert, first, stop = _own_rows(offsets, tl.program_id(0), rows, EXPERTS, SLOTS, ROWS)
    if expert < EXPERTS:
        row = tl.arange(0, ROWS)
        column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
        channel = tl.arange(0, DEPTH)
        inside_rows, inside_columns = row < stop - first, column < HIDDEN
        wide = first.to(tl.int64)
        a_tile = grad + wide * grad_row + row[:, None] * grad_row + channel[None, :]
        b_tile = weight + expert.to(tl.int64) * width * HIDDEN + channel[:, None] * HIDDEN + column[None, :]
        acc = tl.zeros([ROWS, COLUMNS], tl.float32)
        acc = _product(acc, a_tile, b_tile, inside_rows, inside_columns, width, 1, HIDDEN, DEPTH, PRECISION)
        stored = inside_rows[:, None] & inside_columns[None, :]
        tile = wide * (2 * HIDDEN) + row[:, None] * (2 * HIDDEN) + column[None, :]
        gate = tl.load(pre + tile, mask=stored, other=0.0).to(tl.float32)
        up = tl.load(pre + tile + HIDDEN, mask=stored, other=0.0).to(tl.float32)
        active = _activated(gate, ACTIVATION)
        dtype = grad_pre.dtype.element_ty
        tl.store(grad_pre + tile, (acc * up * _derivative(gate, ACTIVATION)).to(dtype), mask=stored)
        tl.store(grad_pre + tile + HIDDEN, (acc * active).to(dtype), mask=stored)
        hidden_tile = hidden + wide * HIDDEN + row[:, None] * HIDDEN + column[None, :]
        tl.store(hidden_tile, (active * up).to(dtype), mask=stored)


@triton.jit
def weight_kernel(
    a, b, offsets, out, a_row, b_row,
    HEIGHT: tl.constexpr, WIDTH: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """out_expert = A^T B over the expert's rows; grid (cdiv(HEIGHT, ROWS), cdiv(WIDTH, COLUMNS), experts)."""
    expert = tl.program_id(2)
    first = tl.load(offsets + expert - 1, mask=expert > 0, other=0)
    stop = tl.load(offsets + expert)
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    channel = tl.arange(0, DEPTH)
    inside_rows, inside_columns = row < HEIGHT, column < WIDTH
    wide = first.to(tl.int64)
    a_tile = a + wide * a_row + channel[None, :] * a_row + row[:, None]
    b_tile = b + wide * b_row + channel[:, None] * b_row + column[None, :]
    acc = tl.zeros([ROWS, COLUMNS], tl.float32)
    acc = _product(acc, a_tile, b_tile, inside_rows, inside_columns, stop - first, a_row, b_row, DEPTH, PRECISION)
    out_tile = out + expert.to(tl.int64) * (HEIGHT * WIDTH) + row[:, None] * WIDTH + column[None, :]
    tl.store(out_tile, acc.to(out.dtype.element_ty), mask=inside_rows[:, None] & inside_columns[None, :])


def shared_memory(tile: GroupedTile, gated: bool, element: int) -> int:
    """Estimated bytes of shared memory of a program."""
    return tile.stages * (tile.rows + (2 if gated else 1) * tile.columns) * tile.depth * element


def choose(gated: bool, element: int, limit: int) -> GroupedTile:
    """The first tile that fits `limit` bytes of shared memory; float32 takes no more than 64 rows."""
    for tile in GATED_TILES if gated else TILES:
        if shared_memory(tile, gated, element) <= limit and (element < 4 or tile.rows <= 64):
            return tile
    raise InputError(f"no tile of the experts' kernels fits the {limit} bytes of shared memory of this device")


class _Launch:
    """What the kernels of one call have in common."""

    def __init__(self, x: Tensor, gate_up: Tensor) -> None:
        if x.dtype == torch.float64:
            raise InputError(
                "the kernels take float16, bfloat16 and float32; set GENET5_ATTENTION=reference for float64"
            )
        self.rows, self.width = x.shape
        self.experts, self.hidden = gate_up.shape[0], gate_up.shape[1] // 2
        self.element, self.device = x.element_size(), x.device
        exact = torch.get_float32_matmul_precision() == "highest"
        self.precision = "ieee" if exact or x.dtype != torch.float32 else "tf32"

    def tile(self, gated: bool = False) -> tuple[GroupedTile, dict[str, Any]]:
        """A tile and the arguments that follow from it."""
        tile = choose(gated, self.element, device_shared_memory(self.device))
        return tile, {
            "ROWS": tile.rows,
            "COLUMNS": tile.columns,
            "DEPTH": tile.depth,
            "PRECISION": self.precision,
            "num_warps": tile.warps,
            "num_stages": tile.stages,
            "enable_fp_fusion": True,
        }

    def groups(self) -> dict[str, int]:
        """The arguments that describe the experts."""
        return {"EXPERTS": self.experts, "SLOTS": triton.next_power_of_2(self.experts)}

    def grid(self, tile: GroupedTile, columns: int) -> tuple[int, int]:
        """Tiles of rows, one part-filled one for each expert and the rows of none, times tiles of columns."""
        return triton.cdiv(self.rows, tile.rows) + self.experts + 1, triton.cdiv(columns, tile.columns)

    def on_device(self) -> contextlib.AbstractContextManager[Any]:
        """Makes the tensors' device the current one: Triton launches there."""
        return torch.cuda.device(self.device) if self.device.type == "cuda" else contextlib.nullcontext()


def experts_forward(
    x: Tensor, offsets: Tensor, gate_up: Tensor, down: Tensor, activation: str
) -> tuple[Tensor, Tensor]:
    """As `experts_reference.experts_forward`; pre-activations of rows past the last offset are not written."""
    launch = _Launch(x, gate_up)
    x = x if x.stride(-1) == 1 else x.contiguous()
    offsets, gate_up, down = offsets.contiguous(), gate_up.contiguous(), down.contiguous()
    hidden = x.new_empty(launch.rows, launch.hidden)
    pre = x.new_empty(launch.rows, 2 * launch.hidden)
    out = x.new_empty(launch.rows, launch.width)
    if launch.rows == 0:
        return out, pre
    with launch.on_device():
        tile, options = launch.tile(gated=True)
        gate_up_kernel[launch.grid(tile, launch.hidden)](
            x, gate_up, offsets, pre, hidden, x.stride(0), launch.rows, launch.width,
            HIDDEN=launch.hidden, ACTIVATION=activation, **launch.groups(), **options,
        )  # fmt: skip
        tile, options = launch.tile()
        rows_kernel[launch.grid(tile, launch.width)](
            hidden, down, offsets, out, hidden.stride(0), down.stride(0), down.stride(2), down.stride(1),
            launch.rows, launch.hidden, WIDTH=launch.width, **launch.groups(), **options,
        )  # fmt: skip
    return out, pre


def experts_backward(
    grad: Tensor, x: Tensor, offsets: Tensor, gate_up: Tensor, down: Tensor, pre: Tensor, activation: str
) -> tuple[Tensor, Tensor, Tensor]:
    """As `experts_reference.experts_backward`."""
    launch = _Launch(x, gate_up)
    x = x if x.stride(-1) == 1 else x.contiguous()
    grad = grad if grad.stride(-1) == 1 else grad.contiguous()
    offsets, gate_up, down, pre = offsets.contiguous(), gate_up.contiguous(), down.contiguous(), pre.contiguous()
    if launch.rows == 0:
        return x.new_zeros(x.shape), torch.zeros_like(gate_up), torch.zeros_like(down)
    hidden = x.new_empty(launch.rows, launch.hidden)
    grad_pre = x.new_empty(launch.rows, 2 * launch.hidden)
    grad_x = x.new_empty(x.shape)
    grad_gate_up, grad_down = torch.empty_like(gate_up), torch.empty_like(down)
    with launch.on_device():
        tile, options = launch.tile(gated=True)
        grad_hidden_kernel[launch.grid(tile, launch.hidden)](
            grad, down, offsets, pre, hidden, grad_pre, grad.stride(0), launch.rows, launch.width,
            HIDDEN=launch.hidden, ACTIVATION=activation, **launch.groups(), **options,
        )  # fmt: skip
        tile, options = launch.tile()
        rows_kernel[launch.grid(tile, launch.width)](
            grad_pre, gate_up, offsets, grad_x, grad_pre.stride(0), gate_up.stride(0), gate_up.stride(1),
            gate_up.stride(2), launch.rows, 2 * launch.hidden, WIDTH=launch.width, **launch.groups(), **options,
        )  # fmt: skip
        for a, b, out in ((grad_pre, x, grad_gate_up), (grad, hidden, grad_down)):
            grid = triton.cdiv(out.shape[1], tile.rows), triton.cdiv(out.shape[2], tile.columns), launch.experts
            weight_kernel[grid](
                a, b, offsets, out, a.stride(0), b.stride(0), HEIGHT=out.shape[1], WIDTH=out.shape[2], **options
            )
    return grad_x, grad_gate_up, grad_down
