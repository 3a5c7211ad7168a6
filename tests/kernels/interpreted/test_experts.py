"""The experts' Triton kernels under the interpreter, against one product an expert in float64."""

import pytest
import torch
from experts_cases import check_experts

from genet5.kernels import experts_triton


@pytest.mark.parametrize("activation", ["gelu", "silu", "relu"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
def test_experts(activation, dtype):
    check_experts(experts_triton, activation, dtype, rows=75, counts=(10, 0, 41, 15), width=24, hidden=40)


@pytest.mark.parametrize("counts", [(0, 0), (5,), (0, 33, 0)], ids=str)
def test_uneven_experts(counts):
    check_experts(experts_triton, "gelu", torch.float32, rows=sum(counts), counts=counts, width=16, hidden=16)
