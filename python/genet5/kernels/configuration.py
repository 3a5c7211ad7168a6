"""Tiles of the attention kernels: the first of a list whose estimated shared memory fits the device.

The lists go from the tiles meant for datacentre GPUs (227 KB a block on sm_90) to ones under 99 KB (sm_121, sm_86,
sm_89). The estimates are checked against the compiler's own figures for sm_90 and sm_121 in
`tests/kernels/test_compile.py`.
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


class Tile(NamedTuple):
    """Rows (queries times packed heads) and keys of a tile, warps a program and depth of the pipeline of loads."""

    rows: int
    keys: int
    warps: int
    stages: int


# Wide ranges: the encoder's window, full attention, cross-attention.
_WIDE: dict[Kernel, tuple[Tile, ...]] = {
    "forward": (Tile(128, 64, 8, 3), Tile(64, 64, 4, 2), Tile(64, 32, 4, 2), Tile(32, 32, 4, 1), Tile(16, 16, 4, 1)),
    "grad_query": (Tile(64, 64, 4, 2), Tile(64, 32, 4, 2), Tile(32, 32, 4, 1), Tile(16, 16, 4, 1)),
    "grad_key": (Tile(64, 64, 4, 2), Tile(32, 64, 4, 2), Tile(32, 32, 4, 1), Tile(16, 16, 4, 1)),
}
# Narrow windows (the decoder's): the keys of a program fit one tile, and loads bound the time.
_NARROW: dict[Kernel, tuple[Tile, ...]] = {
    "forward": (Tile(64, 64, 4, 1), Tile(32, 32, 4, 1), Tile(16, 16, 4, 1)),
    "grad_query": (Tile(64, 64, 4, 1), Tile(32, 32, 4, 1), Tile(16, 16, 4, 1)),
    "grad_key": (Tile(64, 32, 4, 2), Tile(32, 32, 4, 1), Tile(16, 16, 4, 1)),
}
NARROW_WIDTH = 64
_forced: Tile | None = None


def shared_memory(kernel: Kernel, tile: Tile, size: int, element: int) -> int:
    """Estimated bytes of shared memory of a program; `size` is the padded head size, `element` bytes of the dtype."""
    rows, keys, _, stages = tile
    row_tiles = {"forward": 1, "grad_query": 2, "grad_key": 2}[kernel] * rows * size
    key_tiles = 2 * keys * size
    if kernel == "grad_key":
        # Queries stream past a resident tile of keys; else keys stream past queries.
        return (stages * row_tiles + key_tiles + 2 * rows * keys) * element
    return (row_tiles + stages * key_tiles + rows * keys) * element


def candidates(kernel: Kernel, width: int) -> tuple[Tile, ...]:
    """Tiles in order of preference; `width` is the number of keys of a window, -1 for no window."""
    return (_NARROW if 0 <= width <= NARROW_WIDTH else _WIDE)[kernel]


def choose(kernel: Kernel, width: int, size: int, element: int, limit: int, dropout: bool) -> Tile:
    """The first candidate that fits `limit` bytes of shared memory and a thread's registers."""
    if _forced is not None:
        return _forced
    for tile in candidates(kernel, width):
        # Float32 accumulators of a program stay under half of its threads' 255 registers.
        accumulators = {"forward": 1, "grad_query": 1, "grad_key": 2}[kernel] * size
        edge = tile.keys if kernel == "grad_key" else tile.rows
        if edge * accumulators > 128 * 32 * tile.warps:
            continue
        if shared_memory(kernel, tile, size, element) <= limit:
            return tile
    raise InputError(f"no tile for heads of {size} fits the {limit} bytes of shared memory of this device")


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
