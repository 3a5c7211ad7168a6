"""Tiles of the attention kernels, by the width of the window, the bytes of a head's row and the device's shared memory.

The table says what the compiler makes of each tile for sm_90 (227 KB of shared memory a block) and sm_121 (99 KB): the
largest tile that fits and spills no registers, with triton 3.6 as with 3.9. `tests/kernels/test_compile_ahead.py`
compiles every entry for both devices.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, NamedTuple

import torch

from genet5.errors import InputError

Kernel = Literal["forward", "grad_query", "grad_key"]
MAX_HEAD_SIZE = 256
# Devices with at least this much shared memory a block (sm_80, sm_90, sm_100) take the large tiles.
LARGE_MEMORY = 160 * 1024
NARROW_WIDTH = 64


class Tile(NamedTuple):
    """Rows (queries times packed heads) and keys of a tile, warps a program and depth of the pipeline of loads."""

    rows: int
    keys: int
    warps: int
    stages: int


class _Choice(NamedTuple):
    """The tile of a large device and of a small one, without dropout and with it (whose counters take registers)."""

    large: Tile
    large_dropout: Tile
    small: Tile
    small_dropout: Tile


def _choice(*tiles: tuple[int, int, int, int]) -> _Choice:
    return _Choice(*(Tile(*tile) for tile in tiles))


# Keys: the kernel, then the cost of a head's row (`row_cost`), rounded up.
_WIDE: dict[Kernel, dict[int, _Choice]] = {
    "forward": {
        128: _choice((128, 64, 8, 3), (128, 64, 8, 3), (128, 64, 8, 3), (128, 32, 8, 3)),
        256: _choice((128, 64, 8, 2), (64, 32, 4, 2), (64, 32, 4, 2), (64, 32, 8, 2)),
        512: _choice((64, 32, 8, 2), (32, 32, 4, 1), (32, 32, 4, 1), (32, 32, 8, 1)),
        1024: _choice((32, 32, 8, 1), (32, 32, 8, 1), (32, 32, 8, 1), (32, 32, 8, 1)),
        4096: _choice((16, 16, 8, 1), (16, 16, 8, 1), (16, 16, 8, 1), (16, 16, 8, 1)),
    },
    "grad_query": {
        128: _choice((64, 64, 4, 2), (64, 64, 4, 2), (64, 64, 8, 2), (64, 64, 8, 2)),
        256: _choice((64, 64, 8, 2), (64, 32, 4, 2), (64, 64, 8, 2), (64, 64, 8, 2)),
        512: _choice((32, 32, 4, 1), (32, 32, 8, 1), (32, 32, 8, 1), (32, 32, 8, 1)),
        1024: _choice((32, 32, 8, 1), (16, 32, 4, 1), (32, 32, 8, 1), (16, 32, 4, 1)),
        4096: _choice((16, 16, 8, 1), (16, 16, 8, 1), (16, 16, 8, 1), (16, 16, 8, 1)),
    },
    "grad_key": {
        128: _choice((64, 64, 4, 2), (32, 64, 4, 2), (32, 64, 4, 2), (32, 64, 4, 2)),
        256: _choice((32, 64, 8, 2), (32, 32, 4, 1), (32, 32, 4, 1), (32, 32, 4, 1)),
        512: _choice((32, 32, 8, 1), (32, 32, 8, 1), (32, 32, 8, 1), (32, 32, 8, 1)),
        1024: _choice((16, 32, 8, 1), (16, 32, 8, 1), (16, 32, 8, 1), (16, 32, 8, 1)),
        4096: _choice((16, 16, 8, 1), (16, 16, 8, 1), (16, 16, 8, 1), (16, 16, 8, 1)),
    },
}
# Narrow windows (the decoder's): the keys of a program fit one tile, and loads bound the time.
_NARROW: dict[Kernel, dict[int, _Choice]] = {
    "forward": {
        128: _choice((64, 64, 4, 1), (64, 64, 4, 1), (64, 64, 4, 1), (64, 64, 4, 1)),
        256: _choice((64, 64, 4, 1), (64, 64, 8, 1), (64, 64, 8, 1), (64, 64, 8, 1)),
        512: _choice((32, 32, 4, 1), (32, 32, 4, 1), (32, 32, 4, 1), (32, 32, 4, 1)),
        1024: _choice((32, 32, 8, 1), (32, 32, 8, 1), (32, 32, 8, 1), (32, 32, 8, 1)),
        4096: _choice((16, 16, 8, 1), (16, 16, 8, 1), (16, 16, 8, 1), (16, 16, 8, 1)),
    },
    "grad_query": {
        128: _choice((64, 64, 4, 1), (64, 64, 4, 1), (64, 64, 4, 1), (32, 64, 4, 1)),
        256: _choice((64, 64, 4, 1), (64, 64, 8, 1), (64, 64, 8, 1), (64, 64, 8, 1)),
        512: _choice((32, 32, 4, 1), (32, 32, 4, 1), (32, 32, 4, 1), (32, 32, 4, 1)),
        1024: _choice((32, 32, 8, 1), (32, 32, 8, 1), (32, 32, 8, 1), (16, 32, 4, 1)),
        4096: _choice((16, 16, 8, 1), (16, 16, 8, 1), (16, 16, 8, 1), (16, 16, 8, 1)),
    },
    "grad_key": {
        128: _choice((64, 32, 4, 2), (64, 32, 4, 2), (64, 32, 4, 2), (64, 32, 4, 2)),
        256: _choice((64, 32, 8, 2), (64, 32, 8, 2), (64, 32, 8, 1), (64, 32, 8, 2)),
        512: _choice((32, 32, 8, 1), (32, 32, 8, 1), (32, 32, 8, 1), (32, 32, 8, 1)),
        1024: _choice((16, 32, 8, 1), (16, 32, 8, 1), (16, 32, 8, 1), (16, 32, 8, 1)),
        4096: _choice((16, 16, 8, 1), (16, 16, 8, 1), (16, 16, 8, 1), (16, 16, 8, 1)),
    },
}
_forced: Tile | None = None


def is_narrow(width: int) -> bool:
    """Whether a window of `width` keys (-1: no window) is narrow."""
    return 0 <= width <= NARROW_WIDTH


def row_cost(size: int, element: int) -> int:
    """Bytes of a head's row, four times those for float32: its products need more registers than their bytes say."""
    return size * element * (4 if element == 4 else 1)


def choose(kernel: Kernel, width: int, size: int, element: int, limit: int, dropout: bool) -> Tile:
    """The tile for heads of (padded) `size`, elements of `element` bytes and `limit` bytes of shared memory a block."""
    if _forced is not None:
        return _forced
    cost = row_cost(size, element)
    for bound, choice in (_NARROW if is_narrow(width) else _WIDE)[kernel].items():
        if cost <= bound:
            if limit >= LARGE_MEMORY:
                return choice.large_dropout if dropout else choice.large
            return choice.small_dropout if dropout else choice.small
    raise InputError(f"the kernels take heads of at most {MAX_HEAD_SIZE}, not {size}")


def all_tiles() -> list[Tile]:
    """Every tile of the table, once."""
    tables = (choices for table in (_WIDE, _NARROW) for choices in table.values())
    return sorted({tile for choices in tables for choice in choices.values() for tile in choice}, reverse=True)


@contextmanager
def forced(tile: Tile) -> Iterator[None]:
    """All kernels use `tile` within the block (benchmark sweeps and tests)."""
    global _forced
    previous, _forced = _forced, tile
    try:
        yield
    finally:
        _forced = previous


@functools.cache
def device_shared_memory(device: torch.device) -> int:
    """Bytes of shared memory that one block may use on `device`; a CPU under the interpreter counts as the smallest."""
    if device.type != "cuda":
        return 99 * 1024
    return int(torch.cuda.get_device_properties(device).shared_memory_per_block_optin)
