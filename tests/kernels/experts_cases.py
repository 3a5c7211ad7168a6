"""One problem of the experts, put through each implementation."""

import itertools

import torch

from genet5.kernels import experts_reference


def problem(rows, counts, width, hidden, dtype, device="cpu"):
    """x, offsets, weights and the output's gradient; rows past the last offset hold NaN in x."""
    generator = torch.Generator().manual_seed(3)
    experts = len(counts)
    x, grad = torch.randn(2, rows, width, generator=generator)
    gate_up = torch.randn(experts, 2 * hidden, width, generator=generator) / width**0.5
    down = torch.randn(experts, width, hidden, generator=generator) / hidden**0.5
    offsets = torch.tensor(list(itertools.accumulate(counts)), dtype=torch.int32, device=device)
    return *(t.to(dtype).to(device) for t in (x, gate_up, down, grad)), offsets


def check_experts(module, activation, dtype, rows, counts, width, hidden, device="cpu"):
    """Forward and all gradients of `module` by the rule: at most 2x and 3x the error of the reference in that dtype."""
    x, gate_up, down, grad, offsets = problem(rows, counts, width, hidden, dtype, device)

    def run(implementation, dtype):
        a, b, c, d = (t.to(dtype) for t in (x, gate_up, down, grad))
        out, pre = implementation.experts_forward(a, offsets, b, c, activation)
        return (out, *implementation.experts_backward(d, a, offsets, b, c, pre, activation))

    exact, plain, got = run(experts_reference, torch.float64), run(experts_reference, dtype), run(module, dtype)
    floor = {torch.float32: 3e-6, torch.float16: 2e-3, torch.bfloat16: 1.6e-2}[dtype]
    for name, factor, mine, truth, other in zip(
        ("out", "x", "gate_up", "down"), (2, 3, 3, 3), got, exact, plain, strict=True
    ):
        assert mine.dtype == dtype
        assert mine.shape == truth.shape
        if truth.numel() == 0:
            continue
        error = (mine.double() - truth).abs().max().item()
        allowed = factor * (other.double() - truth).abs().max().item() + floor * max(1.0, truth.abs().max().item())
        assert error <= allowed, f"{name}: error {error:.3g}, allowed {allowed:.3g}"
    used = sum(counts)
    assert not got[0][used:].any()
    assert not got[1][used:].any()
