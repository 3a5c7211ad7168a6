"""MXFP8 layers: the same parameters under the same names, numbers close to the full product, any number of rows."""

import pytest
import torch
from torch import nn

from genet5.errors import UnavailableError
from genet5.train import mxfp8


def test_no_gpu_is_one_sentence():
    with pytest.raises(UnavailableError, match="--mxfp8 needs a Blackwell GPU"):
        mxfp8.require_hardware(torch.device("cpu"))


@pytest.mark.parametrize("rows", [1, 33, 64])
def test_emulated_products(rows):
    pytest.importorskip("torchao")
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 96), nn.GELU(), nn.Linear(96, 32, bias=False), nn.Linear(32, 5))
    before = model.state_dict()
    values = torch.randn(2, rows, 64, requires_grad=True)
    expected = model(values)
    expected.square().sum().backward()
    gradients = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    input_gradient = values.grad.clone()
    model.zero_grad()
    values.grad = None

    assert mxfp8.convert(model, emulated=True) == 2
    assert list(model.state_dict()) == list(before)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    found = model(values)
    assert found.shape == expected.shape
    found.square().sum().backward()

    def error(found, expected):
        return float(((found.float() - expected).norm() / expected.norm()).detach())

    assert 0 < error(found, expected) < 0.1
    assert error(values.grad, input_gradient) < 0.15
    for name, parameter in model.named_parameters():
        assert error(parameter.grad, gradients[name]) < 0.15
