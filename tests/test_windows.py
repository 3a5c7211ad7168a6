"""Windows: they cover, keep out, and hold whole genes. (The same promises have property tests in Rust.)"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genet5.errors import InputError
from genet5.windows import windows


@st.composite
def sequences(draw):
    length = draw(st.integers(1, 30_000))
    circular = draw(st.booleans())

    def interval(longest):
        start = draw(st.integers(0, length - 1))
        most = min(longest, length if circular else length - start)
        return start, start + draw(st.integers(1, most))

    genes = [interval(4_000) for _ in range(draw(st.integers(0, 12)))]
    removed = [interval(3_000) for _ in range(draw(st.integers(0, 2)))]
    return length, circular, genes, removed


def bases(start, length, of):
    return {base % of for base in range(start, start + length)}


@given(sequences(), st.integers(200, 6_000), st.integers(0, 90))
def test_windows_cover_all_but_what_is_removed(sequence, window_size, margin):
    length, circular, genes, removed = sequence
    found = windows(length, genes, circular=circular, window_size=window_size, margin=margin, removed=removed)
    covered = set().union(*(bases(*window, length) for window in found))
    assert covered == set(range(length)) - set().union(*(bases(a, b - a, length) for a, b in removed))
    assert all(0 < window.length <= min(window_size, length) for window in found)
    if not removed:
        for start, end in genes:
            if end - start + 2 * margin <= window_size:
                gene = [base % length for base in range(start, end)]
                assert any(set(gene) <= bases(*window, length) for window in found)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"window_size": 0}, "window size"),
        ({"window_size": 1_000_000}, "999,999"),
        ({"window_size": 100, "margin": 50}, "margin"),
        ({"window_size": 100, "margin": 5, "overlap": 100}, "overlap"),
        ({"genes": [(50, 5_001)]}, "does not lie"),
        ({"genes": [(50, 50)]}, "does not lie"),
    ],
)
def test_sizes_that_do_not_fit(arguments, words):
    genes = arguments.pop("genes", [])
    with pytest.raises(InputError, match=words):
        windows(5_000, genes, **arguments)
