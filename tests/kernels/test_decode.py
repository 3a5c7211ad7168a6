"""The decoding step's reference against attention over the whole sequence, and its errors."""

import pytest
import torch
from decode_cases import check_decode

from genet5.errors import InputError
from genet5.kernels import window_decode_step, windowed_attention


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize(("window", "heads"), [(1, (2, 2)), (5, (6, 2)), (32, (12, 3))])
def test_decode(window, heads, dtype):
    check_decode(window, 8, *heads, dtype, steps=2 * window + 3)


def test_same_as_the_training_operator():
    q, k, v = torch.randn(20, 4, 8), torch.randn(20, 2, 8), torch.randn(20, 2, 8)
    cache_k, cache_v = torch.zeros(1, 6, 2, 8), torch.zeros(1, 6, 2, 8)
    steps = [
        window_decode_step(q[i : i + 1], k[i : i + 1], v[i : i + 1], cache_k, cache_v, torch.tensor([i]))
        for i in range(20)
    ]
    expected = windowed_attention(q, k, v, torch.tensor([0, 20]), (5, 0))
    torch.testing.assert_close(torch.cat(steps), expected, atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"positions": torch.zeros(3, dtype=torch.int64)}, "positions is int32 or int64"),
        ({"positions": torch.zeros(2)}, "positions is int32 or int64"),
        ({"cache_v": torch.zeros(2, 4, 2, 8)}, "do not fit together"),
        ({"cache_v": torch.zeros(2, 5, 2, 8).half()}, "cache_v is torch.float16"),
        ({"q": torch.zeros(2, 3, 8)}, "no multiple"),
        ({"q": torch.zeros(2, 8)}, r"q is \[batch, heads, d\]"),
        ({"alibi_slopes": torch.ones(3)}, "alibi_slopes"),
    ],
)
def test_errors(change, words):
    new = torch.zeros(2, 2, 8)
    good = {"q": torch.zeros(2, 4, 8), "k": new, "v": new, "positions": torch.zeros(2, dtype=torch.int64)}
    good |= {"cache_k": torch.zeros(2, 5, 2, 8), "cache_v": torch.zeros(2, 5, 2, 8)}
    with pytest.raises(InputError, match=words):
        window_decode_step(**(good | change))
