"""Writes packed files from Python, and plans packs. Baking does the same from Rust."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genet5._core import PackedWriter, Tokenizer, plan_packs

TARGET = 4550
HARD_LIMIT = 5005
MAX_TARGET_LENGTH = 8000


@dataclass(frozen=True, eq=False)
class PackedWindow:
    """A window to be packed.

    Attributes:
        species, seqid: names.
        start: where it begins in its sequence, forward strand, 0-based bp.
        dna: its letters, as the sentence reads them (reverse-complemented already where ``reverse``).
        sentence: annotation tokens from ``<bos>`` to ``<eos>``, uint32.
        reverse: whether it is the reverse complement of the stretch.
        genetic_code: NCBI's number.
        flags: bits from 16 up are the caller's.
        loss_end: the sentence's tokens from this one on take no loss; None where all do.
        ignore: `[start, end)` of the window where no loss is taken, in bp.
        tracks: one byte a DNA token, or None.
    """

    species: str
    seqid: str
    start: int
    dna: bytes
    sentence: NDArray[np.uint32]
    reverse: bool = False
    genetic_code: int = 1
    flags: int = 0
    loss_end: int | None = None
    ignore: Sequence[tuple[int, int]] = ()
    tracks: NDArray[np.uint8] | None = None


def write_packed(
    path: str | PathLike[str],
    windows: Iterable[PackedWindow],
    tokenizer: Tokenizer,
    *,
    target: int = TARGET,
    hard_limit: int = HARD_LIMIT,
    max_target_len: int = MAX_TARGET_LENGTH,
    metadata: dict[str, Any] | None = None,
) -> int:
    """Tokenise and pack windows into a new file, which appears whole or not at all; returns its number of samples.

    Args:
        path: the packed file; one that is there is replaced.
        windows: read once; they need not fit in memory.
        tokenizer: makes the DNA tokens; its list of tokens becomes part of the file.
        target: DNA tokens: without its longest window a pack has fewer.
        hard_limit: DNA tokens that a pack of several windows never passes.
        max_target_len: label tokens that a pack of several windows never passes.
        metadata: anything that JSON can say.
    """
    writer = PackedWriter(path, tokenizer)
    for window in windows:
        writer.add(
            window.species,
            window.seqid,
            window.start,
            window.dna,
            np.ascontiguousarray(window.sentence, dtype=np.uint32),
            reverse=window.reverse,
            genetic_code=window.genetic_code,
            flags=window.flags,
            loss_end=window.loss_end,
            ignore=list(window.ignore),
            tracks=window.tracks,
        )
    return writer.finish(target, hard_limit, max_target_len, json.dumps(metadata or {}))


@dataclass(frozen=True, eq=False)
class PackingPlan:
    """Packs of windows.

    Attributes:
        packs: the pack of each window, int64 [windows].
        count: how many packs.
        lower_bound: no plan within the hard limits has fewer.
        strategy: how it was planned.
    """

    packs: NDArray[np.int64]
    count: int
    lower_bound: int
    strategy: str


def pack_windows(
    tokens: Sequence[int] | NDArray[np.integer],
    labels: Sequence[int] | NDArray[np.integer],
    *,
    target: int = TARGET,
    hard_limit: int = HARD_LIMIT,
    max_target_len: int = MAX_TARGET_LENGTH,
) -> PackingPlan:
    """Plan packs of windows by their lengths in DNA tokens and label tokens.

    Best-fit decreasing on both budgets, by several orders of the windows; where that leaves more packs than the lower
    bound, the patterns of a linear programme (Gilmore and Gomory 1961) as well. The bound is the largest of simple
    counts and of what that programme's prices prove (Farley 1990).

    >>> pack_windows([2400, 2400, 100, 9000], [50, 60, 10, 10]).packs.tolist()
    [0, 0, 0, 1]
    """
    return PackingPlan(*plan_packs(tokens, labels, target, hard_limit, max_target_len))
