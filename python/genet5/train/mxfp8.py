"""MXFP8 matrix products in linear layers (OCP Microscaling Formats 1.0: blocks of 32 values share a scale)."""

from __future__ import annotations

import torch
from torch import nn

from genet5.errors import UnavailableError

_BLOCK = 32


def require_hardware(device: torch.device) -> None:
    """Raise :class:`UnavailableError` where the GPU has no MXFP8 matrix products."""
    if device.type != "cuda":
        raise UnavailableError("--mxfp8 needs a Blackwell GPU, and there is no GPU here; leave the flag out")
    major, minor = torch.cuda.get_device_capability(device)
    if major < 10:
        raise UnavailableError(
            f"--mxfp8 needs a Blackwell GPU (compute capability 10.0 or higher), and "
            f"{torch.cuda.get_device_name(device)} has {major}.{minor}; leave the flag out"
        )


def convert(model: nn.Module, emulated: bool = False) -> int:
    """Let the linear layers compute in MXFP8, in place, keeping parameters and their names; returns how many do.

    Layers whose sizes are no multiples of 32 stay as they are; rows are padded to one. `emulated` computes the same
    numbers in PyTorch on any device, slowly.
    """
    try:
        from torchao.prototype.moe_training.mxfp8_linear import _to_mxfp8_then_scaled_mm
        from torchao.prototype.mx_formats.config import ScaleCalculationMode
        from torchao.quantization.quantize_.common import KernelPreference
    except ImportError as error:
        raise UnavailableError(
            f"--mxfp8 needs torchao >= 0.17 ({error}): pip install 'genet5[gpu]', or leave the flag out"
        ) from error

    preference = KernelPreference.EMULATED if emulated else KernelPreference.AUTO

    class MXFP8Linear(nn.Linear):
        """Takes any number of rows; zero rows fill the last block and are cut off again."""

        def forward(self, input: torch.Tensor) -> torch.Tensor:
            # Autocast does not reach into a custom autograd function: both sides are cast here.
            rows = input.reshape(-1, self.in_features).to(torch.bfloat16)
            padded = nn.functional.pad(rows, (0, 0, 0, -len(rows) % _BLOCK))
            weight = self.weight.to(torch.bfloat16)
            product = _to_mxfp8_then_scaled_mm(padded, weight, preference, ScaleCalculationMode.RCEIL)[: len(rows)]
            if self.bias is not None:
                product = product + self.bias.to(product.dtype)
            kind = input.device.type
            dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else input.dtype
            return product.to(dtype).reshape(*input.shape[:-1], self.out_features)

    count = 0
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            fits = type(child) is nn.Linear and not (child.in_features % _BLOCK or child.out_features % _BLOCK)
            if not fits:
                continue
            assert isinstance(child, nn.Linear)
            made = MXFP8Linear(child.in_features, child.out_features, bias=False, device="meta")
            made.weight, made.bias = child.weight, child.bias
            made.train(child.training)
            setattr(parent, name, made)
            count += 1
    return count


def probe(device: torch.device) -> None:
    """Raise :class:`UnavailableError` where torchao's kernels do not run on this GPU, forward and backward."""
    model = nn.Sequential(nn.Linear(64, 96)).to(device)
    convert(model)
    values = torch.randn(40, 64, device=device, requires_grad=True)
    try:
        model(values).float().square().sum().backward()
        expected = nn.functional.linear(values, model[0].weight, model[0].bias)  # type: ignore[arg-type]
        error = (model(values).float() - expected).norm() / expected.norm()
        if not error < 0.1:
            raise RuntimeError(f"its products are off by {float(error):.0%}")
    except (RuntimeError, NotImplementedError, AssertionError, AttributeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UnavailableError(
            f"--mxfp8: torchao's MXFP8 kernels do not work on {torch.cuda.get_device_name(device)} ({reason}); "
            "leave the flag out"
        ) from error
