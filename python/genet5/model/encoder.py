"""The encoder: DNABERT-2's, over packed segments.

With `encoder_window_size` -1 and DNABERT-2's weights, hidden states equal the original's (fp32, 1e-4). It departs from
DNABERT-2 in these points:

- Attention may be limited to a window (`encoder_window_size`): a genome's windows are thousands of tokens, and full
  attention grows with their square. ALiBi's bias has made far tokens weigh little already.
- Segments lie end to end without padding; `[CLS]` and `[SEP]` are not used, because windows are cut from chromosomes.
- Only the first of the two token types exists: a window is never a pair of sentences. The sum is the same.
- Three matrices q, k, v are one `qkv`, as in DNABERT-2, in its order; the pooler and the masked-language head are
  left out.
- Tracks (hints a token, section 5 of the design) are added to the embeddings before their norm where they are given.
- ALiBi's slopes are computed, not stored with a maximal length: any length works.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from genet5.kernels import Ranges, windowed_attention
from genet5.model.alibi import alibi_slopes
from genet5.model.configuration import GeneT5Config

_TRACK_BITS = 8


class EncoderLayer(nn.Module):
    """Attention with ALiBi and a gated MLP, each followed by its norm (post-norm)."""

    def __init__(self, config: GeneT5Config) -> None:
        super().__init__()
        width = config.hidden_size
        self.heads = config.encoder_heads
        self.qkv = nn.Linear(width, 3 * width)
        self.attention_out = nn.Linear(width, width)
        self.attention_norm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.gate_up = nn.Linear(width, 2 * config.encoder_ff_dim, bias=False)
        self.down = nn.Linear(config.encoder_ff_dim, width)
        self.mlp_norm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.encoder_dropout)

    def forward(self, x: Tensor, segments: Tensor, ranges: Ranges, slopes: Tensor) -> Tensor:
        """x [T, hidden] -> [T, hidden]."""
        q, k, v = self.qkv(x).view(x.shape[0], 3, self.heads, -1).unbind(1)
        mixed = windowed_attention(q, k, v, segments, alibi_slopes=slopes, ranges=ranges).flatten(1)
        x = self.attention_norm(self.dropout(self.attention_out(mixed)) + x)
        gate, up = self.gate_up(x).chunk(2, -1)
        return self.mlp_norm(self.dropout(self.down(self.dropout(F.gelu(gate) * up))) + x)


class Encoder(nn.Module):
    """DNA tokens to token states."""

    main_input_name = "input_ids"
    slopes: Tensor

    def __init__(self, config: GeneT5Config) -> None:
        super().__init__()
        self.embedding = nn.Embedding(config.vocab_size, config.hidden_size)
        self.token_type = nn.Parameter(torch.zeros(config.hidden_size))
        self.tracks = nn.Parameter(torch.zeros(_TRACK_BITS, config.hidden_size))
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.encoder_dropout)
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.encoder_layers))
        self.register_buffer("slopes", alibi_slopes(config.encoder_heads), persistent=False)
        self.gradient_checkpointing = config.gradient_checkpointing

    def embed(self, input_ids: Tensor, tracks: Tensor | None = None) -> Tensor:
        """input_ids int [T], tracks uint8 [T] or None -> [T, hidden]."""
        x = self.embedding(input_ids) + self.token_type
        if tracks is not None:
            bits = tracks.to(torch.int64)[:, None] >> torch.arange(_TRACK_BITS, device=tracks.device) & 1
            x = x + bits.to(x.dtype) @ self.tracks
        return self.dropout(self.norm(x))

    def forward(
        self,
        input_ids: Tensor,
        segments: Tensor,
        ranges: Ranges,
        tracks: Tensor | None = None,
        states: list[Tensor] | None = None,
    ) -> Tensor:
        """Token states.

        Args:
            input_ids: int [T], segments end to end.
            segments: int64 [S + 1] offsets.
            ranges: `window_ranges(segments, T, window)`.
            tracks: uint8 [T], one bit a hint, or None.
            states: a list that receives the embeddings and each layer's output.

        Returns:
            [T, hidden].
        """
        x = self.embed(input_ids, tracks)
        if states is not None:
            states.append(x)
        for layer in self.layers:
            if self.gradient_checkpointing and self.training:
                x = checkpoint(layer, x, segments, ranges, self.slopes, use_reentrant=False)
            else:
                x = layer(x, segments, ranges, self.slopes)
            if states is not None:
                states.append(x)
        return x
