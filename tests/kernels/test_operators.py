"""The operators as PyTorch sees them: registration, compilation, autocast, checkpointing; FlexAttention."""

import pytest
import torch
from attention_cases import SEED, Case, call, inputs, with_gradients
from torch.nn.attention.flex_attention import create_block_mask, flex_attention
from torch.utils.checkpoint import checkpoint

from genet5.kernels import cross_attention, cross_ranges, grouped_mlp, window_ranges, windowed_attention

CASE = Case((0, 9, 9, 40), (6, 3), heads=4, kv_heads=2, alibi=True, dropout_p=0.1)


def _leaf(*shape, dtype=torch.float32):
    return torch.randn(shape, dtype=dtype).requires_grad_()


@pytest.mark.parametrize("cross", [False, True], ids=["self", "cross"])
def test_opcheck_attention(cross):
    q, k, v = _leaf(20, 4, 8), _leaf(30, 2, 8), _leaf(30, 2, 8)
    offsets, key_offsets = torch.tensor([0, 12, 20]), torch.tensor([0, 5, 30])
    positions, seed = torch.rand(20), torch.tensor([SEED])
    if cross:
        rule = (*cross_ranges(offsets, key_offsets, 20, 30), positions, torch.rand(4), seed, 0.2, 0.3, -1)
    else:
        k, v = _leaf(20, 2, 8), _leaf(20, 2, 8)
        rule = (*window_ranges(offsets, 20, (4, 4)), None, None, None, 0.0, 0.3, 9)
    operators = torch.ops.genet5
    torch.library.opcheck(operators.attention_forward.default, (q, k, v, *rule))
    out, lse = (x.detach() for x in operators.attention_forward(q, k, v, *rule))
    q, k, v = (x.detach() for x in (q, k, v))
    torch.library.opcheck(operators.attention_backward.default, (torch.randn_like(out), q, k, v, out, lse, *rule))


def test_opcheck_experts_and_decoding():
    x, gate_up, down = _leaf(10, 8), _leaf(3, 12, 8), _leaf(3, 8, 6)
    offsets = torch.tensor([4, 4, 9], dtype=torch.int32)
    operators = torch.ops.genet5
    torch.library.opcheck(operators.experts_forward.default, (x, offsets, gate_up, down, "gelu"))
    x, gate_up, down = (t.detach() for t in (x, gate_up, down))
    _, pre = operators.experts_forward(x, offsets, gate_up, down, "gelu")
    torch.library.opcheck(operators.experts_backward.default, (x, x, offsets, gate_up, down, pre, "gelu"))
    step = (torch.randn(2, 4, 8), torch.randn(2, 2, 8), torch.randn(2, 2, 8), torch.zeros(2, 5, 2, 8))
    step += (torch.zeros(2, 5, 2, 8), torch.tensor([0, 7]), torch.rand(4), 0.3)
    torch.library.opcheck(operators.window_decode_step.default, step)


def test_compiled_once_for_all_lengths():
    """One graph (fullgraph), compiled twice at most (the second time with symbolic lengths) for five lengths."""
    counter = torch._dynamo.testing.CompileCounterWithBackend("aot_eager")

    def step(q, k, v, segments, slopes):
        x = windowed_attention(q, k, v, segments, (5, 5), slopes)
        return x + cross_attention(x, k, v, segments, segments, None, slopes)

    compiled = torch.compile(step, fullgraph=True, backend=counter)
    for tokens in (40, 51, 62, 73, 84):
        tensors = _leaf(tokens, 4, 8), _leaf(tokens, 2, 8), _leaf(tokens, 2, 8)
        segments = torch.tensor([0, 7, tokens], dtype=torch.int32)
        slopes = torch.rand(4)
        out = compiled(*tensors, segments, slopes)
        grads = torch.autograd.grad(out.sum(), tensors)
        expected = step(*tensors, segments, slopes)
        torch.testing.assert_close(out, expected)
        for a, b in zip(grads, torch.autograd.grad(expected.sum(), tensors), strict=True):
            torch.testing.assert_close(a, b)
    assert counter.frame_count <= 2


@pytest.mark.long
def test_inductor_takes_the_operators():
    q, k, v, slopes, grad = inputs(CASE, torch.float32, poisoned=False)
    compiled = torch.compile(lambda q, k, v, slopes: call(CASE, q, k, v, slopes) * 2, fullgraph=True)
    got = with_gradients(lambda _, *tensors: compiled(*tensors), CASE, q, k, v, slopes, grad)
    expected = with_gradients(lambda *tensors: call(*tensors) * 2, CASE, q, k, v, slopes, grad)
    for a, b in zip(got, expected, strict=True):
        torch.testing.assert_close(a, b)


def test_export():
    class Layer(torch.nn.Module):
        def forward(self, q, k, v, segments):
            return windowed_attention(q, k, v, segments, (5, 5))

    tensors = torch.randn(20, 2, 8), torch.randn(20, 2, 8), torch.randn(20, 2, 8), torch.tensor([0, 20])
    tokens = torch.export.Dim("tokens", min=2)
    dynamic = ({0: tokens}, {0: tokens}, {0: tokens}, None)
    exported = torch.export.export(Layer(), tensors, dynamic_shapes=dynamic).module()
    longer = torch.randn(33, 2, 8), torch.randn(33, 2, 8), torch.randn(33, 2, 8), torch.tensor([0, 33])
    torch.testing.assert_close(exported(*longer), Layer()(*longer))


def test_autocast():
    q, k, v = _leaf(12, 2, 16), _leaf(12, 2, 16), _leaf(12, 2, 16)
    with torch.autocast("cpu", torch.bfloat16):
        out = windowed_attention(q, k.to(torch.bfloat16), v, torch.tensor([0, 12]))
        mlp = grouped_mlp(q[:, 0], torch.tensor([5, 12], dtype=torch.int32), _leaf(2, 8, 16), _leaf(2, 16, 4))
    assert out.dtype == mlp.dtype == torch.bfloat16
    out.float().sum().backward()
    assert q.grad.dtype == torch.float32
    exact = windowed_attention(*(x.detach().to(torch.bfloat16).float() for x in (q, k, v)), torch.tensor([0, 12]))
    torch.testing.assert_close(out.float(), exact, atol=2e-2, rtol=2e-2)


def test_checkpointing_recomputes_the_same_dropout():
    segments = torch.tensor([0, 32])
    results = []
    for recompute in (False, True):
        torch.manual_seed(11)
        q, k, v = _leaf(32, 2, 8), _leaf(32, 2, 8), _leaf(32, 2, 8)

        def layer(q, k, v):
            return windowed_attention(q, k, v, segments, (8, 8), dropout_p=0.5)

        out = checkpoint(layer, q, k, v, use_reentrant=False) if recompute else layer(q, k, v)
        out.sum().backward()
        results.append((out.detach(), q.grad, k.grad, v.grad))
    for plain, recomputed in zip(*results, strict=True):
        assert torch.equal(plain, recomputed)


def test_no_gradient_is_asked_for_where_none_is_needed():
    q, k, v, slopes, _ = inputs(CASE, torch.float32, poisoned=False)
    assert not call(CASE, q, k, v, slopes).requires_grad
    k = k.clone().requires_grad_()
    call(CASE, q, k, v, slopes).sum().backward()
    assert k.grad is not None


@pytest.mark.parametrize("heads", [(4, 4), (4, 2)], ids=str)
@pytest.mark.parametrize("causal", [False, True])
def test_flex_attention(heads, causal):
    """PyTorch's FlexAttention (forward, the only pass it has on a CPU): window, packing, ALiBi and grouped heads."""
    tokens, left, right = 128, 20, 11
    q, k, v = torch.randn(tokens, heads[0], 16), torch.randn(tokens, heads[1], 16), torch.randn(tokens, heads[1], 16)
    offsets = torch.tensor([0, 40, 41, 128], dtype=torch.int32)
    segment = torch.searchsorted(offsets[1:].contiguous(), torch.arange(tokens), right=True)
    slopes = torch.rand(heads[0])
    last = 0 if causal else right

    def visible(b, h, i, j):
        return (segment[i] == segment[j]) & (i - j <= left) & (j - i <= last)

    def bias(score, b, h, i, j):
        return score - slopes[h] * (i - j).abs()

    block_mask = create_block_mask(visible, None, None, tokens, tokens, device="cpu")
    batched = (x.transpose(0, 1)[None] for x in (q, k, v))
    expected = flex_attention(*batched, score_mod=bias, block_mask=block_mask, enable_gqa=heads[0] != heads[1])
    got = windowed_attention(q, k, v, offsets, (left, right), slopes, causal=causal)
    torch.testing.assert_close(got, expected[0].transpose(0, 1), atol=2e-6, rtol=1e-5)


def test_scaled_dot_product_attention():
    """PyTorch's own attention on one unpacked segment."""
    q, k, v = torch.randn(3, 50, 2, 16)
    for causal in (False, True):
        got = windowed_attention(q, k, v, torch.tensor([0, 50]), causal=causal, scale=0.2)
        batched = (x.transpose(0, 1)[None] for x in (q, k, v))
        expected = torch.nn.functional.scaled_dot_product_attention(*batched, is_causal=causal, scale=0.2)
        torch.testing.assert_close(got, expected[0].transpose(0, 1), atol=2e-6, rtol=1e-5)
