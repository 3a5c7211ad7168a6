"""The compressor: a Perceiver (Jaegle et al. 2021) over each segment's tokens.

A segment of T tokens gets n = min(num_latents, ceil(T / 2)) latents. Latent i is anchored at (i + 1/2) / n of the
segment: it starts as row i of a learned array plus the state of the token at its anchor, and its attention on the
tokens falls with the distance from the anchor (ALiBi's slopes, in tokens). Self-attention layers follow, whose bias
falls with the distance between latents, in latents.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from genet5.kernels import anchor_positions, cross_attention, cross_ranges, window_ranges, windowed_attention
from genet5.kernels.ranges import Ranges
from genet5.model.alibi import alibi_slopes
from genet5.model.configuration import GeneT5Config
from genet5.model.segments import offsets_of


class GatedMLP(nn.Module):
    """`down(gelu(gate x) * up x)`, with dropout on the output."""

    def __init__(self, width: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.gate_up = nn.Linear(width, 2 * hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """[..., width] -> [..., width]."""
        gate, up = self.gate_up(x).chunk(2, -1)
        return self.dropout(self.down(F.gelu(gate) * up))


class LatentLayout(NamedTuple):
    """Where the latents of a batch are.

    Attributes:
        offsets: int64 [S + 1], cumulative numbers of latents.
        number: int64 [latents], of each within its segment.
        anchor_position: float32 [latents], as an index of tokens within the segment.
        anchor: int64 [latents], the token nearest to it in the pack.
        cross, own: ranges of cross-attention and self-attention.
    """

    offsets: Tensor
    number: Tensor
    anchor_position: Tensor
    anchor: Tensor
    cross: Ranges
    own: Ranges


def latent_layout(token_offsets: Tensor, tokens: int, num_latents: int) -> LatentLayout:
    """Lay out the latents of a pack; shapes depend on its lengths, so it is made outside compiled code."""
    lengths = token_offsets[1:] - token_offsets[:-1]
    counts = ((lengths + 1) // 2).clamp(max=num_latents)
    offsets = offsets_of(counts)
    total = int(offsets[-1])
    segment = torch.repeat_interleave(torch.arange(len(counts), device=counts.device), counts, output_size=total)
    index = torch.arange(total, device=counts.device) - offsets[segment]
    position = anchor_positions(offsets, token_offsets, total)
    nearest = torch.minimum(position.round().to(torch.int64), lengths[segment] - 1)
    cross = cross_ranges(offsets, token_offsets, total, tokens)
    return LatentLayout(
        offsets, index, position, token_offsets[segment] + nearest, cross, window_ranges(offsets, total)
    )


class LatentLayer(nn.Module):
    """Self-attention over a segment's latents and a gated MLP (pre-norm)."""

    def __init__(self, config: GeneT5Config) -> None:
        super().__init__()
        width = config.hidden_size
        self.heads = config.encoder_heads
        self.attention_norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.attention_out = nn.Linear(width, width, bias=False)
        self.mlp_norm = nn.LayerNorm(width)
        self.mlp = GatedMLP(width, config.encoder_ff_dim, config.decoder_dropout)
        self.dropout = nn.Dropout(config.decoder_dropout)

    def forward(self, x: Tensor, offsets: Tensor, ranges: Ranges, slopes: Tensor) -> Tensor:
        """[latents, hidden] -> [latents, hidden]."""
        q, k, v = self.qkv(self.attention_norm(x)).view(x.shape[0], 3, self.heads, -1).unbind(1)
        mixed = windowed_attention(q, k, v, offsets, alibi_slopes=slopes, ranges=ranges).flatten(1)
        x = x + self.dropout(self.attention_out(mixed))
        return x + self.mlp(self.mlp_norm(x))


class Compressor(nn.Module):
    """Token states to latents."""

    slopes: Tensor

    def __init__(self, config: GeneT5Config) -> None:
        super().__init__()
        width = config.hidden_size
        self.heads, self.num_latents = config.encoder_heads, config.num_latents
        self.latents = nn.Parameter(torch.zeros(config.num_latents, width))
        self.query_norm = nn.LayerNorm(width)
        self.token_norm = nn.LayerNorm(width)
        self.query = nn.Linear(width, width, bias=False)
        self.key_value = nn.Linear(width, 2 * width, bias=False)
        self.attention_out = nn.Linear(width, width, bias=False)
        self.mlp_norm = nn.LayerNorm(width)
        self.mlp = GatedMLP(width, config.encoder_ff_dim, config.decoder_dropout)
        self.layers = nn.ModuleList(LatentLayer(config) for _ in range(config.compressor_layers))
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(config.decoder_dropout)
        self.register_buffer("slopes", alibi_slopes(config.encoder_heads), persistent=False)
        self.gradient_checkpointing = config.gradient_checkpointing

    def forward(self, tokens: Tensor, token_offsets: Tensor, layout: LatentLayout) -> Tensor:
        """tokens [T, hidden] -> latents [latents, hidden]."""
        x = self.latents[layout.number] + tokens[layout.anchor]
        q = self.query(self.query_norm(x)).view(x.shape[0], self.heads, -1)
        k, v = self.key_value(self.token_norm(tokens)).view(tokens.shape[0], 2, self.heads, -1).unbind(1)
        mixed = cross_attention(
            q, k, v, layout.offsets, token_offsets, layout.anchor_position, self.slopes, ranges=layout.cross
        )
        x = x + self.dropout(self.attention_out(mixed.flatten(1)))
        x = x + self.mlp(self.mlp_norm(x))
        for layer in self.layers:
            if self.gradient_checkpointing and self.training:
                x = checkpoint(layer, x, layout.offsets, layout.own, self.slopes, use_reentrant=False)
            else:
                x = layer(x, layout.offsets, layout.own, self.slopes)
        return self.norm(x)
