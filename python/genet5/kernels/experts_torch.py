"""The experts' gated MLP on torch's own grouped matrix product (`torch.nn.functional.grouped_mm`)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from genet5.kernels.experts_reference import activate, activation_gradient


def _clear_tail(x: Tensor, offsets: Tensor) -> Tensor:
    """`x` with 0 in the rows past the last offset, which grouped_mm leaves as they were in memory."""
    row = torch.arange(x.shape[0], device=x.device)
    return x.masked_fill_((row >= offsets[-1])[:, None], 0.0)


def experts_forward(
    x: Tensor, offsets: Tensor, gate_up: Tensor, down: Tensor, activation: str
) -> tuple[Tensor, Tensor]:
    """As `experts_reference.experts_forward`."""
    pre = _clear_tail(F.grouped_mm(x.contiguous(), gate_up.transpose(-2, -1), offs=offsets), offsets)
    gate, up = pre.chunk(2, -1)
    out = F.grouped_mm(activate(gate, activation) * up, down.transpose(-2, -1), offs=offsets)
    return _clear_tail(out, offsets), pre


def experts_backward(
    grad: Tensor, x: Tensor, offsets: Tensor, gate_up: Tensor, down: Tensor, pre: Tensor, activation: str
) -> tuple[Tensor, Tensor, Tensor]:
    """As `experts_reference.experts_backward`."""
    # Strides of 0, as `sum().backward()` hands them, are refused by grouped_mm.
    grad, x = grad.contiguous(), x.contiguous()
    gate, up = pre.float().chunk(2, -1)
    active, slope = activation_gradient(gate, activation)
    grad_hidden = _clear_tail(F.grouped_mm(grad, down, offs=offsets), offsets).float()
    grad_pre = torch.cat((grad_hidden * up * slope, grad_hidden * active), -1).to(x.dtype)
    hidden = (active * up).to(x.dtype)
    grad_x = _clear_tail(F.grouped_mm(grad_pre, gate_up, offs=offsets), offsets)
    grad_gate_up = F.grouped_mm(grad_pre.t(), x, offs=offsets)
    grad_down = F.grouped_mm(grad.t(), hidden, offs=offsets)
    return grad_x, grad_gate_up, grad_down
