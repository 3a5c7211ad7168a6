"""Windows of a sequence, as baking cuts them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from genet5 import _core


class Window(NamedTuple):
    """A stretch of a sequence in bp, 0-based; on a circular sequence ``start + length`` may pass its end."""

    start: int
    length: int


def windows(
    length: int,
    genes: Iterable[tuple[int, int]] = (),
    *,
    circular: bool = False,
    window_size: int = 10_000,
    margin: int = 50,
    overlap: int | None = None,
    removed: Iterable[tuple[int, int]] = (),
) -> list[Window]:
    """Cover a sequence of `length` bp with windows of at most `window_size` bp.

    Neighbours share `overlap` bp (default: 1/e of the window), shifted so that cuts fall between `genes` where they
    can. Every gene of at most ``window_size - 2 * margin`` bp is whole in at least one window. No base of `removed` is
    in any window.
    Genes and removed stretches are ``(start, end)``, 0-based and half-open; on a circular sequence an end may pass
    `length`, and windows wrap around the origin. Sizes and intervals that do not fit raise :class:`InputError`.

    >>> windows(20_000, [(9_000, 12_000)])
    [Window(start=0, length=8950), Window(start=5271, length=10000), Window(start=12050, length=7950)]
    >>> windows(5_000, [(4_500, 5_700)], circular=True)
    [Window(start=750, length=5000)]
    """
    sizes = (window_size, margin, overlap)
    return [Window(*window) for window in _core.windows_of(length, circular, list(genes), sizes, list(removed))]
