"""The decoder: causal self-attention in a window, cross-attention by blocks, a mixture of experts.

Layer l, token t of a segment, blocks of size b counted from the segment's start:

    x_t += self_attention(norm x)_t                                keys t - window + 1 .. t, ALiBi
    x_t += cross_attention(query = norm x_s, the memory of the segment),   s = b * floor(t / b)
    x_t += experts(norm x_t)

The query of a block is its first token's, which is an input token, known before any token of the block is predicted:
changing token t never changes an output before t. With b = 1 this is ordinary cross-attention.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from genet5.kernels import (
    Blocks,
    Ranges,
    cross_attention,
    cross_ranges,
    segment_blocks,
    window_decode_step,
    window_ranges,
    windowed_attention,
)
from genet5.model.alibi import alibi_slopes
from genet5.model.cache import GeneT5Cache
from genet5.model.compressor import GatedMLP
from genet5.model.configuration import GeneT5Config
from genet5.model.experts import Experts, RouterRecord


class DecoderLayout(NamedTuple):
    """What depends on the batch's lengths alone, one for all layers."""

    offsets: Tensor
    memory_offsets: Tensor
    blocks: Blocks
    own: Ranges
    cross: Ranges


def decoder_layout(offsets: Tensor, memory_offsets: Tensor, tokens: int, memory: int, config: Any) -> DecoderLayout:
    """Attention's ranges and the blocks of a batch; made outside compiled code."""
    blocks = segment_blocks(offsets, tokens, config.decoder_block_size)
    own = window_ranges(offsets, tokens, (config.decoder_window_size - 1, 0))
    cross = cross_ranges(blocks.offsets, memory_offsets, blocks.first_token.shape[0], memory)
    return DecoderLayout(offsets, memory_offsets, blocks, own, cross)


class SelfAttention(nn.Module):
    """Causal attention on the last tokens, grouped key/value heads."""

    def __init__(self, config: GeneT5Config) -> None:
        super().__init__()
        width = config.hidden_size
        self.heads, self.kv_heads = config.decoder_heads, config.decoder_kv_heads
        self.size = width // self.heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * self.kv_heads * self.size)
        self.out = nn.Linear(width, width)

    def _project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q = self.query(x).view(-1, self.heads, self.size)
        k, v = self.key_value(x).view(-1, 2, self.kv_heads, self.size).unbind(1)
        return q, k, v

    def forward(self, x: Tensor, layout: DecoderLayout, slopes: Tensor) -> Tensor:
        """[L, hidden] -> [L, hidden]."""
        q, k, v = self._project(x)
        return self.out(windowed_attention(q, k, v, layout.offsets, alibi_slopes=slopes, ranges=layout.own).flatten(1))

    def step(self, x: Tensor, keys: Tensor, values: Tensor, positions: Tensor, slopes: Tensor) -> Tensor:
        """One token a row: [batch, hidden] -> the same; writes into the rings."""
        q, k, v = self._project(x)
        return self.out(window_decode_step(q, k, v, keys, values, positions, slopes).flatten(1))


class CrossAttention(nn.Module):
    """A block's query on the segment's memory, grouped key/value heads."""

    def __init__(self, config: GeneT5Config) -> None:
        super().__init__()
        width = config.hidden_size
        self.heads, self.kv_heads = config.decoder_heads, config.decoder_kv_heads
        self.size = width // self.heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * self.kv_heads * self.size)
        self.out = nn.Linear(width, width)

    def keys_values(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        """[..., hidden] -> keys and values [..., kv_heads, d]."""
        pair = self.key_value(memory).view(*memory.shape[:-1], 2, self.kv_heads, self.size)
        keys, values = pair.unbind(-3)
        return keys, values

    def forward(self, x: Tensor, memory: Tensor, layout: DecoderLayout) -> Tensor:
        """x [L, hidden], memory [M, hidden] -> [L, hidden]."""
        q = self.query(x[layout.blocks.first_token]).view(-1, self.heads, self.size)
        k, v = self.keys_values(memory)
        out = cross_attention(q, k, v, layout.blocks.offsets, layout.memory_offsets, ranges=layout.cross)
        return self.out(out.flatten(1))[layout.blocks.block_of_token]

    def step(self, x: Tensor, keys: Tensor, values: Tensor, lengths: Tensor) -> Tensor:
        """x [batch, hidden] on [batch, memory, kv_heads, d] -> [batch, hidden]."""
        q = self.query(x).view(x.shape[0], self.kv_heads, -1, self.size)
        seen = torch.arange(keys.shape[1], device=keys.device) < lengths[:, None]
        mixed = F.scaled_dot_product_attention(
            q.to(keys.dtype), keys.transpose(1, 2), values.transpose(1, 2), attn_mask=seen[:, None, None]
        )
        return self.out(mixed.reshape(x.shape[0], -1))


class DecoderLayer(nn.Module):
    """See the module's docstring."""

    def __init__(self, config: GeneT5Config) -> None:
        super().__init__()
        width = config.hidden_size
        self.block_size = config.decoder_block_size
        self.self_norm, self.cross_norm, self.mlp_norm = (nn.LayerNorm(width) for _ in range(3))
        self.self_attention = SelfAttention(config)
        self.cross_attention = CrossAttention(config)
        self.mlp: nn.Module = (
            Experts(config) if config.use_moe else GatedMLP(width, config.decoder_ff_dim, config.decoder_dropout)
        )
        self.dropout = nn.Dropout(config.decoder_dropout)

    def _feed(self, x: Tensor) -> tuple[Tensor, RouterRecord | None]:
        out = self.mlp(self.mlp_norm(x))
        return (x + out[0], out[1]) if isinstance(out, tuple) else (x + out, None)

    def forward(
        self, x: Tensor, memory: Tensor, layout: DecoderLayout, slopes: Tensor
    ) -> tuple[Tensor, RouterRecord | None]:
        """x [L, hidden], memory [M, hidden] -> [L, hidden] and the router's record."""
        x = x + self.dropout(self.self_attention(self.self_norm(x), layout, slopes))
        x = x + self.dropout(self.cross_attention(self.cross_norm(x), memory, layout))
        return self._feed(x)

    def step(
        self, x: Tensor, memory: Tensor, lengths: Tensor, cache: GeneT5Cache, layer: int, slopes: Tensor
    ) -> Tensor:
        """One token a row, x [batch, hidden]; reads and writes the cache."""
        position = torch.full((x.shape[0],), cache.length, dtype=torch.int64, device=x.device)
        x = x + self.self_attention.step(self.self_norm(x), cache.keys[layer], cache.values[layer], position, slopes)
        keys, values = cache.memory_keys[layer], cache.memory_values[layer]
        if keys is None or values is None:
            keys, values = (tensor.contiguous() for tensor in self.cross_attention.keys_values(memory))
            cache.memory_keys[layer], cache.memory_values[layer] = keys, values
        carried = cache.carried[layer]
        if carried is None or cache.length % self.block_size == 0:
            carried = self.cross_attention.step(self.cross_norm(x), keys, values, lengths)
            cache.carried[layer] = carried
        return self._feed(x + carried)[0]


class Decoder(nn.Module):
    """Sentence tokens and memory to states."""

    slopes: Tensor

    def __init__(self, config: GeneT5Config) -> None:
        super().__init__()
        self.embedding = nn.Embedding(config.vocab_size, config.hidden_size)
        self.dropout = nn.Dropout(config.decoder_dropout)
        self.layers = nn.ModuleList(DecoderLayer(config) for _ in range(config.decoder_layers))
        self.norm = nn.LayerNorm(config.hidden_size)
        self.register_buffer("slopes", alibi_slopes(config.decoder_heads), persistent=False)
        self.gradient_checkpointing = config.gradient_checkpointing

    def forward(self, input_ids: Tensor, memory: Tensor, layout: DecoderLayout) -> tuple[Tensor, list[RouterRecord]]:
        """input_ids int [L], memory [M, hidden] -> states [L, hidden] and each router's record."""
        x = self.dropout(self.embedding(input_ids))
        records = []
        for layer in self.layers:
            if self.gradient_checkpointing and self.training:
                x, record = checkpoint(layer, x, memory, layout, self.slopes, use_reentrant=False)
            else:
                x, record = layer(x, memory, layout, self.slopes)
            if record is not None:
                records.append(record)
        return self.norm(x), records

    def step(self, input_ids: Tensor, memory: Tensor, lengths: Tensor, cache: GeneT5Cache) -> Tensor:
        """The next token of each row: input_ids int [batch], memory [batch, M, hidden] -> states [batch, hidden]."""
        x = self.embedding(input_ids)
        for index, layer in enumerate(self.layers):
            assert isinstance(layer, DecoderLayer)
            x = layer.step(x, memory, lengths, cache, index, self.slopes)
        cache.length += 1
        return self.norm(x)
