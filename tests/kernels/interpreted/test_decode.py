"""The decoding step's Triton kernel under the interpreter, against windowed attention over the whole sequence."""

import pytest
import torch
from decode_cases import check_decode


@pytest.mark.parametrize(
    ("window", "size", "heads", "dtype", "steps"),
    [(5, 8, (6, 2), torch.float32, 12), (5, 24, (2, 2), torch.float16, 12), (80, 32, (2, 1), torch.float16, 10)],
    ids=str,
)
def test_decode(window, size, heads, dtype, steps):
    check_decode(window, size, *heads, dtype, steps)


@pytest.mark.long
def test_decode_past_two_turns_of_a_long_ring():
    check_decode(70, 64, 4, 1, torch.float32, 145)
