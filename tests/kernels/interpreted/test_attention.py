"""The Triton attention kernels under the interpreter, against the oracle (bfloat16 is wrong there: on a GPU only)."""

import dataclasses
import itertools

import pytest
import torch
from attention_cases import Case, call, check, inputs, with_gradients
from hypothesis import given, settings
from hypothesis import strategies as st

from genet5.kernels import attention_triton, configuration, windowed_attention
from genet5.kernels.configuration import Tile, forced

SMALL = Tile(16, 16, 4, 1)
PACK = (0, 0, 1, 17, 44)
WINDOWS = {
    "full": ((-1, -1), False),
    "causal": ((-1, -1), True),
    "two-sided": ((18, 20), False),
    "decoder": ((7, 0), True),
}
HEADS = {"1/1": (1, 1), "2/2": (2, 2), "4/1": (4, 1), "3/1": (3, 1), "6/1": (6, 1)}
# Every value of every option, and the pairs of window, heads, bias and dropout that take another path in the kernels.
QUICK = [
    ("full", "1/1", 16, True, 0.0, torch.float32),
    ("full", "4/1", 32, False, 0.4, torch.float16),
    ("causal", "3/1", 20, True, 0.4, torch.float32),
    ("causal", "2/2", 16, False, 0.0, torch.float16),
    ("two-sided", "1/1", 64, True, 0.4, torch.float32),
    ("two-sided", "2/2", 16, True, 0.0, torch.float16),
    ("two-sided", "6/1", 24, False, 0.0, torch.float32),
    ("decoder", "4/1", 16, True, 0.4, torch.float32),
    ("decoder", "4/1", 64, True, 0.0, torch.float16),
    ("decoder", "1/1", 8, False, 0.0, torch.float32),
]
ALL = [
    (window, heads, size, alibi, dropout_p, dtype)
    for window, heads, alibi, dropout_p, (size, dtype) in itertools.product(
        WINDOWS, HEADS, (False, True), (0.0, 0.4), ((16, torch.float32), (40, torch.float16))
    )
]


def _check(window, heads, size, alibi, dropout_p, dtype, tile=SMALL):
    sides, causal = WINDOWS[window]
    with forced(tile):
        check(Case(PACK, sides, causal, *HEADS[heads], size, alibi, dropout_p, padding=2), dtype)


@pytest.mark.parametrize("options", QUICK, ids=str)
def test_options(options):
    _check(*options)


@pytest.mark.long
@pytest.mark.parametrize("options", ALL, ids=str)
def test_product_of_options(options):
    _check(*options)


@pytest.mark.parametrize("tile", [Tile(32, 16, 4, 1), Tile(16, 32, 4, 1)], ids=str)
def test_oblong_tiles(tile):
    _check("two-sided", "2/2", 16, True, 0.4, torch.float32, tile)


@pytest.mark.parametrize(
    "case",
    [
        # Latents on tokens, then a decoder's blocks on latents.
        Case((0, 4, 4, 21), heads=2, kv_heads=2, alibi=True, key_offsets=(0, 9, 12, 50)),
        Case((0, 2, 2, 3, 7), heads=4, kv_heads=1, dropout_p=0.3, key_offsets=(0, 20, 25, 25, 60), padding=1),
        Case((0, 3), heads=2, kv_heads=1, alibi=True, dropout_p=0.3, key_offsets=(0, 40)),
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
def test_cross_attention(case, dtype):
    with forced(SMALL):
        check(case, dtype)


@pytest.mark.parametrize(
    "case",
    [
        Case((0, 0)),
        Case((0, 1)),
        Case((0, 1, 2, 3)),
        Case((0, 0), padding=3),
        Case((0, 0), key_offsets=(0, 5)),
        Case((0, 5), key_offsets=(0, 0)),
        Case((0, 0, 5), key_offsets=(0, 5, 5)),
    ],
    ids=str,
)
def test_empty_and_one_token_segments(case):
    with forced(SMALL):
        check(case, torch.float32)


def test_small_memory_configuration(monkeypatch):
    """The tiles that a device with 99 KB of shared memory gets, full size, on one head."""
    chosen = []

    def choose(kernel, width, size, element, limit, dropout):
        tile = original(kernel, width, size, element, limit, dropout)
        chosen.append((kernel, tile, limit))
        return tile

    original = configuration.choose
    monkeypatch.setattr(attention_triton, "choose", choose)
    check(Case((0, 30, 150), (40, 40), heads=1, kv_heads=1, size=64, alibi=True), torch.float16)
    check(Case((0, 30, 100), (31, 0), heads=4, kv_heads=1, size=64, alibi=True), torch.float16)
    assert len(chosen) == 6
    for _, tile, limit in chosen:
        assert limit == 99 * 1024
        assert tile.rows >= 32


lengths = st.lists(st.integers(0, 30), min_size=1, max_size=4)


@st.composite
def problems(draw):
    offsets = (0, *itertools.accumulate(draw(lengths)))
    key_offsets = None
    if draw(st.booleans()):
        keys = draw(st.lists(st.integers(0, 30), min_size=len(offsets) - 1, max_size=len(offsets) - 1))
        key_offsets = (0, *itertools.accumulate(keys))
    window = draw(st.tuples(st.integers(-1, 40), st.integers(-1, 40)))
    heads = draw(st.sampled_from([(1, 1), (2, 1)]))
    options = {"alibi": draw(st.booleans()), "dropout_p": draw(st.sampled_from([0.0, 0.5]))}
    return Case(
        offsets,
        window,
        draw(st.booleans()),
        *heads,
        16,
        padding=draw(st.integers(0, 3)),
        key_offsets=key_offsets,
        **options,
    )


def _any_problem(case):
    with forced(SMALL):
        check(case, torch.float32)


@given(problems())
@settings(max_examples=8, deadline=None, database=None, derandomize=True)
def test_any_lengths_and_windows(case):
    _any_problem(case)


@pytest.mark.long
@given(problems())
@settings(max_examples=200, deadline=None, database=None)
def test_many_lengths_and_windows(case):
    _any_problem(case)


def test_repeats_bit_by_bit():
    case = Case(PACK, (9, 9), heads=4, kv_heads=2, alibi=True, dropout_p=0.2)
    with forced(SMALL):
        first, second = (with_gradients(call, case, *inputs(case, torch.float32)) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_strides_and_broadcast_gradient():
    """q, k, v as views of one projection [tokens, 3, heads, d] and of a transposed one; a gradient of stride 0."""
    fused = torch.randn(20, 3, 2, 16)
    segments = torch.tensor([0, 20])
    with forced(SMALL):
        views = [fused[:, i].detach().requires_grad_() for i in range(3)]
        windowed_attention(*views, segments, (5, 5)).sum().backward()
        copies = [fused[:, i].contiguous().requires_grad_() for i in range(3)]
        windowed_attention(*copies, segments, (5, 5)).backward(torch.ones(20, 2, 16))
        channels_apart = [x.detach().permute(2, 1, 0).contiguous().permute(2, 1, 0) for x in copies]
        first, again = (windowed_attention(*x, segments, (5, 5)) for x in (copies, channels_apart))
    for view, copy in zip(views, copies, strict=True):
        assert torch.equal(view.grad, copy.grad)
    assert torch.equal(first, again)


def test_kernels_refuse_what_they_cannot_do():
    case = Case((0, 4))
    q, k, v, _, _ = inputs(case, torch.float64)
    with pytest.raises(ValueError, match="GENET5_ATTENTION=reference for float64"):
        call(case, q, k, v, None)
    wide = dataclasses.replace(case, size=512)
    with pytest.raises(ValueError, match="heads of at most 256"):
        call(wide, *inputs(wide, torch.float32)[:3], None)


def test_compiled_graph_holds_the_operator():
    """Tracing through the operator gives what eager gives, gradients included."""
    case = Case((0, 9, 24), (5, 5), heads=2, kv_heads=1, alibi=True)
    with forced(SMALL):
        eager = with_gradients(call, case, *inputs(case, torch.float32))
        compiled = torch.compile(
            lambda q, k, v, slopes: call(case, q, k, v, slopes), fullgraph=True, backend="aot_eager"
        )
        traced = with_gradients(lambda _, *tensors: compiled(*tensors), case, *inputs(case, torch.float32))
    for a, b in zip(eager, traced, strict=True):
        assert torch.equal(a, b)
