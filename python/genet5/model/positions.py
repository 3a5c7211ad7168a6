"""Base-pair coordinates for what the decoder reads.

Byte-pair tokens differ in length, so a token's index says nothing of where it lies. Each token gets its start in bp
within its window in two forms: sinusoids with periods from 4 bp to 4 Mb, and the decoder's own embeddings of the two
number tokens (thousands and units) that write this coordinate, so that writing one down is close to copying.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from genet5.model.configuration import GeneT5Config

_SHORTEST, _LONGEST = 4.0, 4.0e6


class Positions(nn.Module):
    """Coordinates to vectors; zero where the configuration has them off."""

    frequencies: Tensor

    def __init__(self, config: GeneT5Config) -> None:
        super().__init__()
        self.number_token_id = config.number_token_id
        waves = min(64, config.hidden_size // 2)
        self.sinusoids = nn.Linear(2 * waves, config.hidden_size, bias=False)
        self.numbers = (
            nn.Linear(2 * config.hidden_size, config.hidden_size, bias=False)
            if config.number_token_id is not None
            else None
        )
        self.register_buffer("frequencies", frequencies(waves), persistent=False)

    def forward(self, positions: Tensor, embedding: Tensor) -> Tensor:
        """positions int [T] in bp, embedding [vocabulary, hidden] of the decoder -> [T, hidden]."""
        angle = (positions[:, None].to(torch.float32) * self.frequencies) * (2 * math.pi)
        out = self.sinusoids(torch.cat((angle.sin(), angle.cos()), -1).to(self.sinusoids.weight.dtype))
        if self.numbers is not None:
            assert self.number_token_id is not None
            high = self.number_token_id + (positions // 1000).clamp(max=999)
            low = self.number_token_id + positions % 1000
            pair = torch.cat((embedding[high], embedding[low]), -1)
            # Embeddings start small beside token states, which are normalised: so are these.
            out = out + self.numbers(nn.functional.rms_norm(pair, pair.shape[-1:], eps=1e-6).to(out.dtype))
        return out


def frequencies(waves: int) -> Tensor:
    """Waves a bp, float32 [waves], geometric from 1/4 to 1/4,000,000."""
    exponent = torch.linspace(0, 1, waves, dtype=torch.float64)
    return (1.0 / (_SHORTEST * (_LONGEST / _SHORTEST) ** exponent)).to(torch.float32)
