"""The Triton kernels on a CUDA device: `make gpu-test`. Needs PyTorch, Triton and pytest, no extension module.

What takes longest stands first, so that several processes (pytest-xdist, where it is installed) end together.
"""

import itertools
import os
import shutil
import subprocess
import sys
from pathlib import Path

import attention_oracle
import pytest
import torch
from attention_cases import Case, call, check, inputs, with_gradients
from decode_cases import check_decode
from experts_cases import check_experts

from genet5.errors import InputError
from genet5.kernels import (
    backend,
    cross_attention,
    experts_torch,
    grouped_mlp,
    window_ranges,
    windowed_attention,
)

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
DEVICE = "cuda"
PACK = (0, 0, 1, 130, 131, 700, 1500)
WINDOWS = {
    "full": ((-1, -1), False),
    "causal": ((-1, -1), True),
    "encoder": ((256, 256), False),
    "oblong": ((100, 37), False),
    "decoder": ((31, 0), True),
}
HEADS = {"12/12": (12, 12), "12/3": (12, 3), "6/1": (6, 1), "3/1": (3, 1)}
DTYPES = (torch.bfloat16, torch.float16, torch.float32)


@pytest.fixture(autouse=True, scope="module")
def _automatic_choice():
    before = os.environ.pop(backend.VARIABLE, None)
    yield
    if before is not None:
        os.environ[backend.VARIABLE] = before


@pytest.fixture(autouse=True)
def _give_memory_back():
    """Oracles take gigabytes; tests in other processes share the device."""
    yield
    torch.cuda.empty_cache()


def test_compute_sanitizer():
    """No access out of bounds in a short run of every kernel."""
    tool = shutil.which("compute-sanitizer")
    if tool is None:
        pytest.skip("compute-sanitizer is not installed")
    here = Path(__file__).resolve()
    test = f"{here}::test_short_run_of_every_kernel"
    # PyTorch and Triton ask the driver for what it may not have: such answers are no faults of a kernel.
    command = [tool, "--error-exitcode", "9", "--report-api-errors", "no"]
    command += [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", test]
    # An allocation of its own for each tensor: in PyTorch's pool, the end of a tensor is not the end of its block.
    environment = os.environ | {"PYTORCH_NO_CUDA_MEMORY_CACHING": "1"}
    done = subprocess.run(
        command, cwd=here.parents[2], env=environment, capture_output=True, text=True, check=False, timeout=400
    )
    assert done.returncode == 0, done.stdout[-4000:]
    assert "1 passed" in done.stdout


def test_short_run_of_every_kernel():
    """Windows narrow and wide, cross-attention, experts, decoding; also what `compute-sanitizer` runs."""
    from genet5.kernels import experts_triton

    for case in (
        Case((0, 0, 1, 130, 300), (31, 0), True, 12, 3, 64, alibi=True, dropout_p=0.1, padding=5),
        Case((0, 0, 1, 130, 700), (256, 256), heads=2, kv_heads=2, size=64, alibi=True, padding=5),
        Case((0, 4, 9, 50), heads=3, kv_heads=3, size=20, alibi=True, key_offsets=(0, 30, 90, 300), padding=3),
    ):
        check(case, torch.bfloat16, DEVICE, poisoned=False)
    check_experts(experts_triton, "gelu", torch.bfloat16, 150, (30, 0, 1, 77), 72, 136, DEVICE)
    check_decode(32, 64, 12, 3, torch.bfloat16, steps=40, device=DEVICE)


def _compared(tokens, window, causal, heads, slopes, offsets, peer):
    """Output and gradients in bfloat16 by the rule: at most 2x and 3x the error of `peer` against float64."""
    shapes = ((tokens, heads[0], 64), (tokens, heads[1], 64), (tokens, heads[1], 64), (tokens, heads[0], 64))
    q, k, v, grad = (torch.randn(shape, device=DEVICE, dtype=torch.bfloat16) for shape in shapes)
    segments = torch.tensor(offsets, device=DEVICE, dtype=torch.int32)
    mask = attention_oracle.window_mask(offsets, tokens, window, causal).to(DEVICE)
    position = torch.arange(tokens, device=DEVICE)
    distance = (position[:, None] - position).abs()

    def ours(q, k, v):
        return windowed_attention(q, k, v, segments, window, slopes, causal=causal)

    def exact(q, k, v):
        return attention_oracle.attention(q, k, v, mask, distance, slopes)

    results = []
    for function, dtype in ((ours, q.dtype), (peer, q.dtype), (exact, torch.float64)):
        leaves = [x.detach().to(dtype, copy=True).requires_grad_() for x in (q, k, v)]
        out = function(*leaves)
        results.append((out, *torch.autograd.grad(out, leaves, grad.to(dtype))))
    for name, factor, mine, theirs, truth in zip(("out", "q", "k", "v"), (2, 3, 3, 3), *results, strict=True):
        error = (mine.double() - truth).abs().max()
        allowed = factor * (theirs.double() - truth).abs().max() + 1e-3 * truth.abs().max()
        assert error <= allowed, f"{name}: error {error:.3g}, allowed {allowed:.3g}"


@pytest.mark.parametrize("shape", ["encoder", "decoder"])
def test_flex_attention(shape):
    """Compiled FlexAttention on a pack of the recipe, forward and backward."""
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    tokens, offsets = 4550, (0, 2200, 4550)
    (left, right), causal = WINDOWS[shape]
    heads = HEADS["12/12" if shape == "encoder" else "12/3"]
    slopes = torch.rand(heads[0], device=DEVICE) / 8
    ends = torch.tensor(offsets[1:], device=DEVICE)
    segment = torch.searchsorted(ends, torch.arange(tokens, device=DEVICE), right=True)

    def visible(b, h, i, j):
        return (segment[i] == segment[j]) & (i - j <= left) & (j - i <= right)

    def bias(score, b, h, i, j):
        return score - slopes[h] * (i - j).abs()

    mask = create_block_mask(visible, None, None, tokens, tokens, device=DEVICE)
    compiled = torch.compile(flex_attention)

    def flex(q, k, v):
        batched = (x.transpose(0, 1)[None] for x in (q, k, v))
        return compiled(*batched, score_mod=bias, block_mask=mask, enable_gqa=heads[0] != heads[1])[0].transpose(0, 1)

    _compared(tokens, (left, right), causal, heads, slopes, offsets, flex)


def test_flash_attention():
    flash_attn = pytest.importorskip("flash_attn")
    offsets, window = (0, 2200, 4550), (256, 256)
    slopes = torch.rand(12, device=DEVICE) / 8
    segments = torch.tensor(offsets, device=DEVICE, dtype=torch.int32)

    def flash(q, k, v):
        return flash_attn.flash_attn_varlen_func(
            q, k, v, segments, segments, 2350, 2350, window_size=window, alibi_slopes=slopes, deterministic=True
        )

    _compared(4550, window, False, HEADS["12/12"], slopes, offsets, flash)


def test_model():
    """The whole model on the kernels and on the reference: loss, gradients, and what is written, in float32."""
    pytest.importorskip("transformers")
    sys.path.insert(0, str(Path(__file__).parents[1] / "model"))
    from tiny_models import tiny_batch, tiny_model

    model = tiny_model(dtype=torch.float32)
    batch = tiny_batch(model, [210, 90], [120, 50])
    model = model.to(DEVICE)
    segments = batch.pop("segments")
    batch = {name: value.to(DEVICE) for name, value in batch.items()}
    batch["segments"] = type(segments)(*(offsets.to(DEVICE) for offsets in segments))
    results, written = [], []
    with pytest.MonkeyPatch.context() as patch:
        for choice in ("triton", "reference"):
            patch.setenv(backend.VARIABLE, choice)
            model.zero_grad()
            loss = model(**batch).loss
            loss.backward()
            results.append((loss.detach(), {n: p.grad for n, p in model.named_parameters() if p.grad is not None}))
            ids = batch["input_ids"][None, :210]
            written.append(model.generate(ids, max_new_tokens=40, do_sample=False))
    (loss, gradients), (expected, expected_gradients) = results
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-5)
    assert gradients.keys() == expected_gradients.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, expected_gradients[name], rtol=2e-3, atol=2e-5, msg=name)
    assert torch.equal(*written)


def test_memory_is_linear_up_to_a_million_tokens():
    """Extra memory per token does not grow, and offsets past 2**31 elements are right (views of one projection)."""
    heads, size = 8, 96
    torch.cuda.empty_cache()
    free = torch.cuda.mem_get_info()[0]
    if free < 24 << 30:
        pytest.skip(f"needs 24 GB of free GPU memory, not {free >> 30}")
    extra = {}
    for tokens in (1 << 18, 1 << 20):
        fused = torch.randn(tokens, 3, heads, size, device=DEVICE, dtype=torch.bfloat16)
        q, k, v = (fused[:, i].requires_grad_() for i in range(3))
        segments = torch.tensor([0, tokens - 1000, tokens], device=DEVICE)
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        out = windowed_attention(q, k, v, segments, (256, 256))
        grads = torch.autograd.grad(out, (q, k, v), torch.ones_like(out))
        extra[tokens] = (torch.cuda.max_memory_allocated() - before) / tokens
        tail = [x[-1000:].detach().contiguous().requires_grad_() for x in (q, k, v)]
        last = windowed_attention(*tail, torch.tensor([0, 1000], device=DEVICE), (256, 256))
        torch.testing.assert_close(out[-1000:], last, rtol=2e-2, atol=2e-2)
        for a, b in zip(grads, torch.autograd.grad(last, tail, torch.ones_like(last)), strict=True):
            torch.testing.assert_close(a[-1000:], b, rtol=3e-2, atol=3e-2)
        del fused, q, k, v, out, grads
    assert extra[1 << 20] <= 1.1 * extra[1 << 18]


def test_compiled_once_for_all_lengths():
    counter = torch._dynamo.testing.CompileCounterWithBackend("inductor")

    def step(q, k, v, segments, slopes):
        return windowed_attention(q * 2, k, v, segments, (31, 0), slopes) + 1

    compiled = torch.compile(step, fullgraph=True, backend=counter)
    slopes = torch.rand(12, device=DEVICE)
    for tokens in (400, 511, 600, 777, 1024):
        q = torch.randn(tokens, 12, 64, device=DEVICE, dtype=torch.bfloat16, requires_grad=True)
        k, v = torch.randn(2, tokens, 3, 64, device=DEVICE, dtype=torch.bfloat16)
        segments = torch.tensor([0, 100, tokens], device=DEVICE, dtype=torch.int32)
        out = compiled(q, k, v, segments, slopes)
        out.sum().backward()
        torch.testing.assert_close(out, step(q, k, v, segments, slopes), rtol=2e-2, atol=2e-2)
    assert counter.frame_count <= 2


@pytest.mark.parametrize(
    ("window", "heads", "alibi", "dropout_p"),
    list(itertools.product(WINDOWS, ("12/12", "12/3"), (False, True), (0.0, 0.1))),
)
def test_product_of_options_in_bfloat16(window, heads, alibi, dropout_p):
    sides, causal = WINDOWS[window]
    check(Case(PACK, sides, causal, *HEADS[heads], 64, alibi, dropout_p, padding=5), torch.bfloat16, DEVICE)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(
    ("size", "heads", "window", "dropout_p"),
    [
        (32, "12/3", "decoder", 0.1),
        (64, "3/1", "encoder", 0.0),
        (128, "12/12", "encoder", 0.1),
        (128, "12/3", "decoder", 0.0),
        (256, "6/1", "oblong", 0.0),
        (20, "6/1", "causal", 0.1),
    ],
)
def test_dtypes_and_head_sizes(dtype, size, heads, window, dropout_p):
    sides, causal = WINDOWS[window]
    check(Case((0, 3, 400, 640), sides, causal, *HEADS[heads], size, True, dropout_p, padding=1), dtype, DEVICE)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(
    "case",
    [
        Case((0, 512, 512, 640), heads=12, kv_heads=12, size=64, alibi=True, key_offsets=(0, 1024, 1030, 1290)),
        Case((0, 4, 9, 9, 10, 50), heads=12, kv_heads=3, size=64, dropout_p=0.1, key_offsets=(0, 30, 90, 99, 99, 1000)),
        Case((0, 70), heads=4, kv_heads=4, size=128, alibi=True, dropout_p=0.1, key_offsets=(0, 300), padding=3),
    ],
    ids=str,
)
def test_cross_attention(case, dtype):
    check(case, dtype, DEVICE)


@pytest.mark.parametrize(
    "case",
    [
        Case((0, 0)),
        Case((0, 1)),
        Case((0, 1, 2, 3)),
        Case((0, 0), padding=3),
        Case((0, 0), key_offsets=(0, 5)),
        Case((0, 5), key_offsets=(0, 0)),
    ],
    ids=str,
)
def test_empty_and_one_token_segments(case):
    check(case, torch.float16, DEVICE)


def test_repeats_bit_by_bit():
    case = Case(PACK, (256, 256), heads=12, kv_heads=3, size=64, alibi=True, dropout_p=0.1)
    runs = [with_gradients(call, case, *inputs(case, torch.bfloat16, DEVICE)) for _ in range(3)]
    for other in runs[1:]:
        assert all(torch.equal(a, b) for a, b in zip(runs[0], other, strict=True))


def test_kernels_and_reference_drop_the_same_weights(monkeypatch):
    case = Case(PACK, (256, 256), heads=4, kv_heads=4, size=64, alibi=True, dropout_p=0.5)
    tensors = inputs(case, torch.float32, DEVICE)
    triton = with_gradients(call, case, *tensors)
    monkeypatch.setenv(backend.VARIABLE, "reference")
    reference = with_gradients(call, case, *tensors)
    for a, b in zip(triton, reference, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=2e-5)


def test_autocast_and_checkpointing():
    from torch.utils.checkpoint import checkpoint

    segments = torch.tensor([0, 300], device=DEVICE)
    results = []
    for recompute in (False, True):
        torch.manual_seed(5)
        q = torch.randn(300, 4, 64, device=DEVICE, requires_grad=True)

        def layer(q):
            return windowed_attention(q, q, q, segments, (64, 64), dropout_p=0.2)

        with torch.autocast("cuda", torch.bfloat16):
            out = checkpoint(layer, q, use_reentrant=False) if recompute else layer(q)
        assert out.dtype == torch.bfloat16
        out.float().sum().backward()
        results.append((out.detach(), q.grad))
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_ranges_follow_the_device_and_errors_are_clear():
    q = torch.randn(10, 2, 64, device=DEVICE, dtype=torch.float16)
    ranges = window_ranges(torch.tensor([0, 10], device=DEVICE), 10, (2, 2))
    # Offsets on the host are taken to the device.
    torch.testing.assert_close(
        windowed_attention(q, q, q, torch.tensor([0, 10]), (2, 2)),
        windowed_attention(q, q, q, torch.tensor([0, 10]), (2, 2), ranges=ranges),
    )
    with pytest.raises(InputError, match="must agree"):
        windowed_attention(q, q.cpu(), q, torch.tensor([0, 10]))
    with pytest.raises(InputError, match="float64"):
        cross_attention(q.double(), q.double(), q.double(), torch.tensor([0, 10]), torch.tensor([0, 10]))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("activation", ["gelu", "silu"])
def test_experts(dtype, activation):
    from genet5.kernels import experts_triton

    counts = (300, 0, 1, 129, 512, 70)
    check_experts(experts_triton, activation, dtype, 1100, counts, 256, 384, DEVICE)


def test_experts_of_the_recipe():
    from genet5.kernels import experts_triton

    counts = (0, *((137 * i) % 500 for i in range(1, 16)))
    check_experts(experts_triton, "gelu", torch.bfloat16, sum(counts), counts, 768, 3072, DEVICE)


def test_experts_on_torch():
    check_experts(experts_torch, "gelu", torch.bfloat16, 900, (300, 0, 88, 512), 256, 384, DEVICE)


def test_experts_repeat_bit_by_bit():
    x = torch.randn(500, 128, device=DEVICE, dtype=torch.bfloat16)
    gate_up = torch.randn(4, 512, 128, device=DEVICE, dtype=torch.bfloat16)
    down = torch.randn(4, 128, 256, device=DEVICE, dtype=torch.bfloat16)
    offsets = torch.tensor([100, 250, 250, 500], device=DEVICE, dtype=torch.int32)
    assert torch.equal(grouped_mlp(x, offsets, gate_up, down), grouped_mlp(x, offsets, gate_up, down))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("window", "size", "heads"), [(32, 64, (12, 3)), (7, 20, (6, 6)), (512, 64, (12, 12))])
def test_decode(window, size, heads, dtype):
    check_decode(window, size, *heads, dtype, steps=min(2 * window + 3, 80), device=DEVICE)
