"""The experts' gated MLP in plain PyTorch: one product an expert. The definition, and what runs on a CPU."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def activate(x: Tensor, activation: str) -> Tensor:
    """`gelu` (exact, by erf), `silu` or `relu`."""
    if activation == "gelu":
        return F.gelu(x)
    return F.silu(x) if activation == "silu" else F.relu(x)


def activation_gradient(x: Tensor, activation: str) -> tuple[Tensor, Tensor]:
    """Activation and its derivative at x."""
    if activation == "gelu":
        cumulative = 0.5 * (1.0 + torch.erf(x * 0.7071067811865476))
        return x * cumulative, cumulative + x * torch.exp(-0.5 * x * x) * 0.3989422804014327
    if activation == "silu":
        sigmoid = torch.sigmoid(x)
        return x * sigmoid, sigmoid * (1.0 + x * (1.0 - sigmoid))
    return F.relu(x), (x > 0).to(x.dtype)


def _spans(offsets: Tensor) -> list[tuple[int, int, int]]:
    ends = offsets.tolist()
    return [(e, start, end) for e, (start, end) in enumerate(zip([0, *ends], ends, strict=False)) if end > start]


def experts_forward(
    x: Tensor, offsets: Tensor, gate_up: Tensor, down: Tensor, activation: str
) -> tuple[Tensor, Tensor]:
    """Output [rows, width] and the pre-activations [rows, 2 * hidden]; rows past the last offset are 0."""
    pre = x.new_zeros(x.shape[0], gate_up.shape[1])
    out = x.new_zeros(x.shape[0], down.shape[1])
    for expert, start, end in _spans(offsets):
        torch.mm(x[start:end], gate_up[expert].t(), out=pre[start:end])
        gate, up = pre[start:end].chunk(2, -1)
        torch.mm(activate(gate, activation) * up, down[expert].t(), out=out[start:end])
    return out, pre


def experts_backward(
    grad: Tensor, x: Tensor, offsets: Tensor, gate_up: Tensor, down: Tensor, pre: Tensor, activation: str
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of x, gate_up and down."""
    grad_x = torch.zeros_like(x, memory_format=torch.contiguous_format)
    grad_gate_up = torch.zeros_like(gate_up, memory_format=torch.contiguous_format)
    grad_down = torch.zeros_like(down, memory_format=torch.contiguous_format)
    for expert, start, end in _spans(offsets):
        part = grad[start:end]
        gate, up = pre[start:end].chunk(2, -1)
        active, slope = activation_gradient(gate, activation)
        torch.mm(part.t(), active * up, out=grad_down[expert])
        grad_hidden = torch.mm(part, down[expert])
        grad_pre = torch.cat((grad_hidden * up * slope, grad_hidden * active), -1)
        torch.mm(grad_pre.t(), x[start:end], out=grad_gate_up[expert])
        torch.mm(grad_pre, gate_up[expert], out=grad_x[start:end])
    return grad_x, grad_gate_up, grad_down
