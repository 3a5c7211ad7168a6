"""The mixture of experts against one expert at a time."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from tiny_models import tiny_config

from genet5.errors import InputError
from genet5.model.experts import Experts


def make(experts=4, top_k=2, seed=0):
    torch.manual_seed(seed)
    layer = Experts(tiny_config(num_experts=experts, moe_top_k=top_k)).double()
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, 0.0, 0.3)
    return layer


def naive(layer, x):
    """Token by token, expert by expert."""
    out = torch.zeros_like(x)
    for t, row in enumerate(x):
        logits = (layer.router.weight.float() @ row.float()).softmax(-1)
        best = sorted(range(layer.experts), key=lambda e: -float(logits[e].detach()))[: layer.top_k]
        total = sum(logits[e] for e in best)
        for e in best:
            gate, up = (layer.gate_up[e] @ row).chunk(2)
            out[t] = out[t] + (logits[e] / total).double() * (layer.down[e] @ (F.gelu(gate) * up))
    return out


@pytest.mark.parametrize(("experts", "top_k", "tokens"), [(4, 2, 17), (5, 1, 9), (3, 3, 4), (16, 2, 1)])
def test_output_and_gradients_equal_the_naive_sum(experts, top_k, tokens):
    layer = make(experts, top_k)
    x = torch.randn(tokens, 32, dtype=torch.float64, requires_grad=True)
    out, _ = layer(x)
    expected = naive(layer, x)
    torch.testing.assert_close(out, expected, atol=1e-6, rtol=1e-6)
    weight = torch.randn_like(out)
    inputs = [x, layer.gate_up, layer.down, layer.router.weight]
    own = torch.autograd.grad((out * weight).sum(), inputs, retain_graph=True)
    other = torch.autograd.grad((expected * weight).sum(), inputs)
    for mine, theirs in zip(own, other, strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-5)


def test_the_balance_loss_is_one_where_all_is_even_and_grows_with_imbalance():
    layer = make()
    with torch.no_grad():
        layer.router.weight.zero_()
        layer.router.weight[:, :4] = torch.eye(4) * 50
    x = torch.zeros(40, 32, dtype=torch.float64)
    # Token t likes experts t and t + 1 mod 4.
    for t in range(40):
        x[t, t % 4] = 1.0
        x[t, (t + 1) % 4] = 0.999
    _, even = layer(x)
    assert float(even.balance) / 40 == pytest.approx(1.0, abs=1e-5)
    assert even.load.tolist() == pytest.approx([0.25] * 4)
    _, uneven = layer(x[:1].expand(40, -1))
    assert float(uneven.balance) / 40 == pytest.approx(2.0, abs=0.05)
    assert uneven.load.tolist() == pytest.approx([0.5, 0.5, 0.0, 0.0])


def test_the_z_loss_and_entropy_are_what_their_definitions_say():
    layer = make()
    x = torch.randn(12, 32, dtype=torch.float64)
    _, record = layer(x)
    logits = (x @ layer.router.weight.t()).detach()
    probabilities = logits.softmax(-1)
    assert float(record.router_z) == pytest.approx(float(logits.logsumexp(-1).square().sum()), rel=1e-5)
    entropy = -(probabilities * probabilities.log()).sum(-1).mean()
    assert float(record.entropy) == pytest.approx(float(entropy), rel=1e-5)
    # Nothing is dropped.
    assert float(record.load.sum()) == pytest.approx(1.0)


def test_no_more_experts_a_token_than_there_are():
    with pytest.raises(InputError, match="--moe_top_k 5 must be between 1 and --num_experts 4"):
        tiny_config(moe_top_k=5)
