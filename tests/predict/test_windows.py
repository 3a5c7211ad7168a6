"""Cores tile the sequence exactly and keep the context that the overlap promises."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genet5.errors import InputError
from genet5.predict.windows import prediction_windows, window_bases


@given(
    length=st.integers(0, 5_000),
    window_size=st.integers(1, 700),
    share=st.floats(0, 0.95),
    circular=st.booleans(),
)
def test_cores_tile_the_sequence_and_have_their_context(length, window_size, share, circular):
    overlap = int(window_size * share)
    windows = prediction_windows(length, window_size, overlap, circular)
    assert [core for window in windows for core in range(window.core_start, window.core_end)] == list(range(length))
    for window in windows:
        assert window.start <= window.core_start < window.core_end <= window.end
        assert window.end - window.start == min(window_size, length)
        left, right = window.core_start - window.start, window.end - window.core_end
        if circular and length > window_size:
            assert left == overlap // 2
            assert right >= overlap - overlap // 2
        elif not circular:
            assert 0 <= window.start <= window.end <= length
            assert window.core_start == 0 or left >= overlap // 2
            assert window.core_end == length or right >= overlap // 2


@given(sequence=st.binary(min_size=1, max_size=200), window_size=st.integers(1, 150), circular=st.booleans())
def test_window_bases_wrap_around_the_origin(sequence, window_size, circular):
    for window in prediction_windows(len(sequence), window_size, window_size // 3, circular):
        bases = window_bases(sequence, window)
        expected = bytes(sequence[position % len(sequence)] for position in range(window.start, window.end))
        assert bases == expected


def test_an_overlap_that_leaves_no_step_is_refused():
    with pytest.raises(InputError, match="--overlap"):
        prediction_windows(1000, 100, 100)
