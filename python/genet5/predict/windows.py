"""How a sequence is cut for prediction, and which part of each window's evidence is kept."""

from __future__ import annotations

from typing import NamedTuple

from genet5.errors import InputError


class PredictionWindow(NamedTuple):
    """A window of a sequence, in bp from the sequence's start; on a circular sequence ends may pass its length.

    Evidence is kept for ``[core_start, core_end)``: the borders lie in the middle of the overlaps, so that every kept
    base has as much context on either side as the overlap allows. The cores of a sequence tile it exactly.
    """

    start: int
    end: int
    core_start: int
    core_end: int


def prediction_windows(length: int, window_size: int, overlap: int, circular: bool = False) -> list[PredictionWindow]:
    """Cut ``length`` bp into windows of ``window_size`` bp that overlap by at least ``overlap`` bp, in order.

    All windows have the same length where the sequence is at least that long; the last is moved left to the end of a
    linear sequence, and wraps around the origin of a circular one. Raises InputError where the overlap leaves no step.
    """
    if not 0 <= overlap < window_size:
        raise InputError(
            f"an overlap of {overlap} bp does not fit windows of {window_size} bp; choose a smaller --overlap"
        )
    if length == 0:
        return []
    if length <= window_size:
        return [PredictionWindow(0, length, 0, length)]
    step = window_size - overlap
    if circular:
        half = overlap // 2
        starts = range(0, length, step)
        return [
            PredictionWindow(start - half, start - half + window_size, start, min(start + step, length))
            for start in starts
        ]
    starts_linear = [*range(0, length - window_size, step), length - window_size]
    windows = []
    core_start = 0
    for index, start in enumerate(starts_linear):
        end = start + window_size
        last = index + 1 == len(starts_linear)
        core_end = length if last else (starts_linear[index + 1] + end) // 2
        windows.append(PredictionWindow(start, end, core_start, core_end))
        core_start = core_end
    return windows


def window_bases(sequence: bytes, window: PredictionWindow) -> bytes:
    """The letters of a window, taken around the origin where it passes an end of a circular sequence."""
    length = len(sequence)
    if window.start >= 0 and window.end <= length:
        return sequence[window.start : window.end]
    start = window.start % length
    size = window.end - window.start
    repeated = sequence[start:] + sequence * (size // length + 1)
    return repeated[:size]
