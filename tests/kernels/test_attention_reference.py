"""The PyTorch reference against attention with an explicit mask, in float64 where every error shows."""

import itertools
import logging

import pytest
import torch
from attention_cases import Case, call, check, expected, inputs
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from genet5.errors import InputError
from genet5.kernels import (
    anchor_positions,
    attention_reference,
    backend,
    cross_attention,
    cross_ranges,
    segment_blocks,
    window_ranges,
    windowed_attention,
)

OFFSETS = (0, 0, 1, 20, 20, 75)
WINDOWS = {
    "full": ((-1, -1), False),
    "causal": ((-1, -1), True),
    "two-sided": ((6, 9), False),
    "decoder": ((15, 0), True),
}


@pytest.mark.parametrize(
    ("window", "alibi", "dropout_p", "heads"),
    list(itertools.product(WINDOWS, (False, True), (0.0, 0.3), ((4, 4), (4, 2), (6, 1)))),
)
def test_product_of_options(window, alibi, dropout_p, heads):
    sides, causal = WINDOWS[window]
    check(Case(OFFSETS, sides, causal, *heads, 8, alibi, dropout_p, padding=3), torch.float64)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("key_offsets", [None, (0, 3, 10, 10, 60, 97)], ids=["self", "cross"])
def test_dtypes(dtype, key_offsets):
    check(Case(OFFSETS, (12, 12), False, 4, 2, 32, True, 0.1, key_offsets=key_offsets), dtype)


@pytest.mark.parametrize("size", [1, 20, 64, 128])
def test_head_sizes(size):
    check(Case((0, 40), (8, 8), size=size), torch.float64)


@pytest.mark.parametrize(
    "case",
    [
        Case((0, 4, 4, 9, 30), heads=4, kv_heads=2, size=8, alibi=True, key_offsets=(0, 11, 15, 15, 90)),
        Case((0, 4, 4, 9, 30), heads=4, kv_heads=4, size=8, dropout_p=0.2, key_offsets=(0, 11, 15, 15, 90), padding=2),
        Case((0, 0), key_offsets=(0, 5)),
        Case((0, 5), key_offsets=(0, 0)),
        Case((0, 0)),
        Case((0, 1)),
        Case((0, 0), padding=4),
    ],
    ids=str,
)
def test_cross_attention_and_empty(case):
    check(case, torch.float64)


lengths = st.lists(st.integers(0, 40), min_size=1, max_size=5)


@st.composite
def problems(draw):
    offsets = (0, *itertools.accumulate(draw(lengths)))
    heads, kv_heads = draw(st.sampled_from([(1, 1), (2, 2), (4, 2), (3, 1), (12, 3)]))
    key_offsets = None
    if draw(st.booleans()):
        keys = draw(st.lists(st.integers(0, 40), min_size=len(offsets) - 1, max_size=len(offsets) - 1))
        key_offsets = (0, *itertools.accumulate(keys))
    window = draw(st.tuples(st.integers(-1, 45), st.integers(-1, 45)))
    dropout_p = draw(st.sampled_from([0.0, 0.5]))
    padding = draw(st.integers(0, 5))
    alibi = draw(st.booleans())
    return Case(offsets, window, draw(st.booleans()), heads, kv_heads, 4, alibi, dropout_p, padding, key_offsets)


@given(problems())
@settings(max_examples=60, deadline=None)
def test_any_lengths_and_windows(case):
    check(case, torch.float64)


@given(problems())
@settings(max_examples=60, deadline=None)
def test_ranges_are_transposes_and_rise(case):
    offsets = torch.tensor(case.offsets)
    if case.key_offsets is None:
        ranges = window_ranges(offsets, case.queries, case.window, case.causal)
    else:
        ranges = cross_ranges(offsets, torch.tensor(case.key_offsets), case.queries, case.keys)
    query, key = torch.arange(case.queries)[:, None], torch.arange(case.keys)[None, :]
    by_row = (key >= ranges.rows[0][:, None]) & (key < ranges.rows[1][:, None])
    by_column = (query >= ranges.columns[0][None, :]) & (query < ranges.columns[1][None, :])
    assert torch.equal(by_row, by_column)
    for bound in (*ranges.rows, *ranges.columns):
        assert (bound.diff() >= 0).all()


def test_segments_do_not_see_each_other():
    q, k, v, slopes, _ = inputs(Case((0, 10, 30), (50, 50), alibi=True), torch.float32, poisoned=False)
    both = call(Case((0, 10, 30), (50, 50), alibi=True), q, k, v, slopes)
    first = call(Case((0, 10), (50, 50), alibi=True), q[:10], k[:10], v[:10], slopes)
    torch.testing.assert_close(both[:10], first, rtol=0, atol=1e-6)


class _LargestTensor(TorchDispatchMode):
    """The most elements that any operation returned."""

    largest = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for x in result if isinstance(result, (tuple, list)) else (result,):
            if isinstance(x, torch.Tensor):
                self.largest = max(self.largest, x.numel())
        return result


@pytest.mark.parametrize(("window", "heads", "kv_heads"), [((256, 256), 4, 4), ((31, 0), 4, 1)])
def test_memory_is_linear_in_tokens(window, heads, kv_heads):
    largest = []
    for tokens in (4550, 9100):
        q, k = torch.randn(tokens, heads, 16), torch.randn(tokens, kv_heads, 16)
        ranges = window_ranges(torch.tensor([0, tokens]), tokens, window)
        with _LargestTensor() as mode:
            out, lse = attention_reference.attention_forward(q, k, k, ranges.rows, None, None, None, 0.0, 1.0)
            attention_reference.attention_backward(q, q, k, k, out, lse, ranges.rows, None, None, None, 0.0, 1.0)
        largest.append(mode.largest)
    assert largest[0] < 4550 * 4550 / 4
    assert largest[1] <= 2.1 * largest[0]


def test_anchors():
    positions = anchor_positions(torch.tensor([0, 2, 2, 5]), torch.tensor([0, 8, 9, 12]), 6)
    # Two latents on eight tokens stand at 1/4 and 3/4, three on three stand on the tokens; past the end is unused.
    assert positions[:5].tolist() == [1.5, 5.5, 0.0, 1.0, 2.0]


def test_blocks_count_from_each_segment():
    blocks = segment_blocks(torch.tensor([0, 5, 5, 6, 10]), 10, 4)
    assert blocks.offsets.tolist() == [0, 2, 2, 3, 4]
    assert blocks.first_token.tolist() == [0, 4, 5, 6]
    assert blocks.block_of_token.tolist() == [0, 0, 0, 0, 1, 2, 3, 3, 3, 3]
    assert segment_blocks(torch.tensor([0, 3]), 3, 1).first_token.tolist() == [0, 1, 2]


def test_ranges_made_before_give_the_same():
    case = Case(OFFSETS, (7, 3), heads=4, alibi=True)
    q, k, v, slopes, _ = inputs(case, torch.float32, poisoned=False)
    segments = torch.tensor(case.offsets)
    ranges = window_ranges(segments, case.queries, case.window)
    again = windowed_attention(q, k, v, segments, case.window, slopes, ranges=ranges)
    assert torch.equal(call(case, q, k, v, slopes), again)


def test_dropout_is_the_same_for_one_seed_and_keeps_the_mean():
    case = Case((0, 64), dropout_p=0.25)
    q, k, _, _, _ = inputs(case, torch.float32, poisoned=False)
    v = torch.ones_like(k)
    first, second = call(case, q, k, v, None), call(case, q, k, v, None)
    assert torch.equal(first, second)
    assert abs(first.mean().item() - 1.0) < 0.05
    assert first.std() > 0.01
    drawn = windowed_attention(q, k, v, torch.tensor([0, 64]), dropout_p=0.25)
    assert not torch.equal(drawn, windowed_attention(q, k, v, torch.tensor([0, 64]), dropout_p=0.25))
    torch.testing.assert_close(expected(case, q, k, v, None), first)


def _tensors(tokens=6, heads=4, kv_heads=2, size=8):
    return torch.randn(tokens, heads, size), torch.randn(tokens, kv_heads, size), torch.randn(tokens, kv_heads, size)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"window": (-2, 3)}, "window is two integers"),
        ({"window": (1.5, 3)}, "window is two integers"),
        ({"dropout_p": 1.0}, "dropout_p is at least 0 and below 1"),
        ({"alibi_slopes": torch.ones(3)}, r"alibi_slopes is \[heads\] = \[4\]"),
        ({"segments": torch.tensor([0.0, 6.0])}, "offsets"),
        ({"segments": torch.tensor([[0, 6]])}, "offsets"),
        ({"q": torch.randn(1, 6, 4, 8)}, "flatten batch and length"),
        ({"q": torch.randn(6, 4, 8).half()}, "must agree"),
        ({"q": torch.randn(6, 3, 8)}, "no multiple"),
        ({"q": torch.randn(6, 4, 9)}, "heads of q and k have one size"),
        ({"q": torch.randn(7, 4, 8)}, "as many keys as queries"),
        ({"v": torch.randn(6, 1, 8)}, "k and v have one shape"),
        ({"ranges": window_ranges(torch.tensor([0, 5]), 5)}, "ranges are for 5"),
    ],
)
def test_errors_name_what_is_wrong(arguments, words):
    q, k, v = _tensors()
    with pytest.raises(InputError, match=words):
        windowed_attention(**({"q": q, "k": k, "v": v, "segments": torch.tensor([0, 6])} | arguments))


def test_cross_errors():
    q, k, v = _tensors()
    with pytest.raises(InputError, match="1 segments and keys 2"):
        cross_attention(q, k, v, torch.tensor([0, 6]), torch.tensor([0, 3, 6]))
    with pytest.raises(InputError, match="q_positions is"):
        cross_attention(q, k, v, torch.tensor([0, 6]), torch.tensor([0, 6]), torch.zeros(5), torch.ones(4))
    q, k, v = (x.to(torch.int32) for x in (q, k, v))
    with pytest.raises(InputError, match=r"not torch\.int32"):
        cross_attention(q, k, v, torch.tensor([0, 6]), torch.tensor([0, 6]))


def test_choice_of_implementation(monkeypatch, caplog):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    device = torch.device("cpu")
    for choice in ("auto", "reference", ""):
        monkeypatch.setenv(backend.VARIABLE, choice)
        assert not backend.use_triton(device)
    monkeypatch.setenv(backend.VARIABLE, "auto")
    assert backend.use_triton(torch.device("cuda"))
    monkeypatch.setenv(backend.VARIABLE, "triton")
    with pytest.raises(InputError, match="tensors are on cpu"):
        backend.use_triton(device)
    monkeypatch.setenv(backend.VARIABLE, "fast")
    with pytest.raises(InputError, match="'fast' is not known"):
        backend.use_triton(device)


def test_choice_is_logged_once(monkeypatch, caplog):
    monkeypatch.setenv(backend.VARIABLE, "reference")
    backend._log_once.cache_clear()
    with caplog.at_level(logging.INFO, logger="genet5.kernels"):
        backend.use_triton(torch.device("cpu"))
        backend.use_triton(torch.device("cpu"))
    assert [record.message for record in caplog.records] == [
        "attention on cpu runs on the reference implementation (GENET5_ATTENTION=reference)"
    ]
