"""The experts: the reference against an nn.Module for each expert, torch's grouped product, and the errors."""

import pytest
import torch
import torch.nn.functional as F
from experts_cases import check_experts, problem

from genet5.errors import InputError
from genet5.kernels import experts, experts_torch, grouped_mlp

FUNCTIONS = {"gelu": F.gelu, "silu": F.silu, "relu": F.relu}


@pytest.mark.parametrize("activation", experts.ACTIVATIONS)
def test_reference_equals_one_mlp_an_expert(activation):
    x, gate_up, down, grad, offsets = problem(30, (7, 0, 11, 9), 6, 10, torch.float64)
    leaves = [t.clone().requires_grad_() for t in (x, gate_up, down)]
    out = grouped_mlp(leaves[0], offsets, leaves[1], leaves[2], activation)
    rows, start = [], 0
    twins = [t.clone().requires_grad_() for t in (x, gate_up, down)]
    for expert, end in enumerate(offsets.tolist()):
        gate, up = F.linear(twins[0][start:end], twins[1][expert]).chunk(2, -1)
        rows.append(F.linear(FUNCTIONS[activation](gate) * up, twins[2][expert]))
        start = end
    expected = torch.cat([*rows, x.new_zeros(30 - start, 6)])
    torch.testing.assert_close(out, expected)
    for a, b in zip(torch.autograd.grad(out, leaves, grad), torch.autograd.grad(expected, twins, grad), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_grouped_product_of_torch(dtype):
    check_experts(experts_torch, "gelu", dtype, rows=40, counts=(10, 0, 20, 5), width=16, hidden=32)


def test_gradient_of_a_sum_has_stride_zero():
    x, gate_up, down, _, offsets = problem(12, (5, 7), 8, 8, torch.float32)
    x.requires_grad_()
    grouped_mlp(x, offsets, gate_up, down).sum().backward()
    assert x.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"activation": "tanh"}, "'tanh' is not known"),
        ({"offsets": torch.tensor([5, 12])}, "offsets is int32"),
        ({"offsets": torch.tensor([5], dtype=torch.int32)}, "offsets is int32"),
        ({"x": torch.randn(12, 9)}, "do not fit each other"),
        ({"down_weight": torch.randn(2, 8, 9)}, "do not fit each other"),
        ({"down_weight": torch.randn(2, 8, 8).half()}, "down_weight is torch.float16"),
        ({"x": torch.randn(12, 1, 8)}, r"x is \[rows, width\]"),
    ],
)
def test_errors(change, words):
    x, gate_up, down, _, offsets = problem(12, (5, 7), 8, 8, torch.float32)
    good = {"x": x, "offsets": offsets, "gate_up_weight": gate_up, "down_weight": down}
    with pytest.raises(InputError, match=words):
        grouped_mlp(**(good | change))
