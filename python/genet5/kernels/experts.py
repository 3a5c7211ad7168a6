"""The experts of a mixture: a gated MLP an expert, over rows sorted by expert, as one PyTorch operator.

Routing, sorting and weighting belong to the model; here `offsets` says which rows are whose. Everything is
deterministic.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from genet5.errors import InputError
from genet5.kernels import experts_reference
from genet5.kernels.backend import use_triton

ACTIVATIONS = ("gelu", "silu", "relu")
# Which is faster where both run, from the line that `make gpu-bench` prints: compute capability -> "torch" or "triton".
# Triton where nobody has measured: on some devices torch's product is a loop that waits for the host.
MEASURED: dict[tuple[int, int], str] = {}
_INPUTS = "Tensor x, Tensor offsets, Tensor gate_up, Tensor down"


def _implementation(x: Tensor) -> ModuleType:
    if not use_triton(x.device):
        return experts_reference
    if x.device.type == "cuda" and MEASURED.get(torch.cuda.get_device_capability(x.device)) == "torch":
        from genet5.kernels import experts_torch

        return experts_torch
    from genet5.kernels import experts_triton

    return experts_triton


@torch.library.custom_op(
    "genet5::experts_forward", mutates_args=(), schema=f"({_INPUTS}, str activation) -> (Tensor, Tensor)"
)
def _forward(x: Tensor, offsets: Tensor, gate_up: Tensor, down: Tensor, activation: str) -> tuple[Tensor, Tensor]:
    made: tuple[Tensor, Tensor] = _implementation(x).experts_forward(x, offsets, gate_up, down, activation)
    return made


@_forward.register_fake
def _forward_fake(x: Tensor, offsets: Tensor, gate_up: Tensor, down: Tensor, activation: str) -> tuple[Tensor, Tensor]:
    return x.new_empty(x.shape[0], down.shape[1]), x.new_empty(x.shape[0], gate_up.shape[1])


@torch.library.custom_op(
    "genet5::experts_backward",
    mutates_args=(),
    schema=f"(Tensor grad, {_INPUTS}, Tensor pre, str activation) -> (Tensor, Tensor, Tensor)",
)
def _backward(
    grad: Tensor, x: Tensor, offsets: Tensor, gate_up: Tensor, down: Tensor, pre: Tensor, activation: str
) -> tuple[Tensor, Tensor, Tensor]:
    made: tuple[Tensor, Tensor, Tensor] = _implementation(x).experts_backward(
        grad, x, offsets, gate_up, down, pre, activation
    )
    return made


@_backward.register_fake
def _backward_fake(
    grad: Tensor, x: Tensor, offsets: Tensor, gate_up: Tensor, down: Tensor, pre: Tensor, activation: str
) -> tuple[Tensor, Tensor, Tensor]:
    return x.new_empty(x.shape), gate_up.new_empty(gate_up.shape), down.new_empty(down.shape)


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    x, offsets, gate_up, down, ctx.activation = inputs
    ctx.save_for_backward(x, offsets, gate_up, down, output[1])
    ctx.mark_non_differentiable(output[1])
    ctx.set_materialize_grads(False)


def _autograd(ctx: Any, grad: Tensor | None, _: Tensor | None) -> tuple[Tensor | None, ...]:
    if grad is None:
        return (None,) * 5
    x, offsets, gate_up, down, pre = ctx.saved_tensors
    grad_x, grad_gate_up, grad_down = _backward(grad, x, offsets, gate_up, down, pre, ctx.activation)
    return grad_x, None, grad_gate_up, grad_down, None


_forward.register_autograd(_autograd, setup_context=_setup_context)


def grouped_mlp(
    x: Tensor, offsets: Tensor, gate_up_weight: Tensor, down_weight: Tensor, activation: str = "gelu"
) -> Tensor:
    """`down_e(act(gate_e x) * up_e x)` for each row x of expert e.

    Args:
        x: [rows, width], sorted by expert.
        offsets: int32 [experts], where each expert's rows end (cumulative counts); an expert may have none.
        gate_up_weight: [experts, 2 * hidden, width], gate rows first, oriented as `nn.Linear.weight`.
        down_weight: [experts, width, hidden].
        activation: `gelu` (exact), `silu` or `relu`.

    Returns:
        [rows, width] in x's dtype (autocast's under autocast); rows past the last offset are 0.

    Raises:
        InputError: for shapes, dtypes or an activation that do not fit.
    """
    if torch.is_autocast_enabled(x.device.type):
        dtype = torch.get_autocast_dtype(x.device.type)
        x, gate_up_weight, down_weight = x.to(dtype), gate_up_weight.to(dtype), down_weight.to(dtype)
    if activation not in ACTIVATIONS:
        raise InputError(f"activation {activation!r} is not known; use one of {', '.join(ACTIVATIONS)}")
    if x.dim() != 2 or gate_up_weight.dim() != 3 or down_weight.dim() != 3:
        raise InputError(
            "x is [rows, width], gate_up_weight [experts, 2 * hidden, width], down_weight [experts, width, hidden]"
        )
    experts, doubled, width = gate_up_weight.shape
    if x.shape[1] != width or tuple(down_weight.shape) != (experts, width, doubled // 2) or doubled % 2:
        raise InputError(
            f"weights {list(gate_up_weight.shape)} and {list(down_weight.shape)} do not fit "
            f"each other and rows of {x.shape[1]}"
        )
    if offsets.shape != (experts,) or offsets.dtype != torch.int32:
        raise InputError(f"offsets is int32 [experts] = [{experts}], not {offsets.dtype} {list(offsets.shape)}")
    for name, tensor in (("gate_up_weight", gate_up_weight), ("down_weight", down_weight)):
        if tensor.dtype != x.dtype or tensor.device != x.device:
            raise InputError(f"{name} is {tensor.dtype} on {tensor.device}, but x is {x.dtype} on {x.device}")
    inputs = (x, offsets.to(x.device), gate_up_weight, down_weight, activation)
    if torch.compiler.is_compiling() or torch.is_grad_enabled():
        return _forward(*inputs)[0]
    # The operator is for tracing and gradients; calling it costs as much as a small model's experts for one token.
    out: Tensor = _implementation(x).experts_forward(*inputs)[0]
    return out
