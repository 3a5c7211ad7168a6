"""A sequence decoded step by step must give what attention over the whole sequence gives at once."""

import attention_oracle
import torch

from genet5.kernels import window_decode_step


def check_decode(window, size, heads, kv_heads, dtype, steps, device="cpu"):
    """Two sequences, the second three tokens behind the first; slots not yet written hold NaN."""
    generator = torch.Generator().manual_seed(5)
    lag = 3
    shapes = ((2, steps, heads, size), *((2, steps, kv_heads, size),) * 2)
    q, k, v = (torch.randn(s, generator=generator).to(dtype).to(device) for s in shapes)
    slopes = torch.rand(heads, generator=generator).to(device)
    cache_k = torch.full((2, window, kv_heads, size), torch.nan, dtype=dtype, device=device)
    cache_v = cache_k.clone()

    outputs = []
    row = torch.arange(2, device=device)
    for step in range(steps + lag):
        # Before its first token the second sequence rewrites position 0; past its end the first one its last.
        position = torch.tensor([min(step, steps - 1), max(step - lag, 0)], device=device)
        new = (x[row, position] for x in (q, k, v))
        outputs.append(window_decode_step(*new, cache_k, cache_v, position, slopes))
    got = torch.stack([torch.stack(outputs[:steps])[:, 0], torch.stack(outputs[lag:])[:, 1]])

    index = torch.arange(steps, device=device)
    mask = (index[None, :] <= index[:, None]) & (index[None, :] > index[:, None] - window)
    distance = (index[:, None] - index).abs()
    exact = torch.stack(
        [attention_oracle.attention(*(x[s].double() for x in (q, k, v)), mask, distance, slopes) for s in range(2)]
    )
    tolerance = {torch.float64: 1e-12, torch.float32: 3e-6, torch.float16: 3e-3, torch.bfloat16: 2e-2}[dtype]
    torch.testing.assert_close(got.double(), exact, rtol=tolerance, atol=tolerance)
