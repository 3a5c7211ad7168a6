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


class GroupedAttention(nn.Module):
    """Projections of attention with fewer key/value heads than query heads."""

    def __init__(self, config: GeneT5Config) -> None:
        super().__init__()
        width = config.hidden_size
        self.heads, self.kv_heads = config.decoder_heads, config.decoder_kv_heads
        self.size = width // self.heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * self.kv_heads * self.size)
        self.out = nn.Linear(width, width)


class SelfAttention(GroupedAttention):
    """Causal attention on the last tokens."""

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


class CrossAttention(GroupedAttention):
    """A block's query on the segment's memory."""

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

    def step(self, x: Tensor, keys: Tensor, values: Tensor, seen: Tensor | None) -> Tensor:
        """x [batch, hidden] on keys and values [batch, kv_heads, memory, d] -> [batch, hidden].

        `seen` is bool [batch, 1, 1, memory], or None where every row's memory is whole.
        """
        # The query heads that read one key/value head are its queries.
        q = self.query(x).view(x.shape[0], self.kv_heads, -1, self.size)
        mixed = F.scaled_dot_product_attention(q.to(keys.dtype), keys, values, attn_mask=seen)
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

    def forward(
        self, x: Tensor, memory: Tensor, layout: DecoderLayout, slopes: Tensor
    ) -> tuple[Tensor, RouterRecord | None]:
        """x [L, hidden], memory [M, hidden] -> [L, hidden] and the router's record."""
        x = x + self.dropout(self.self_attention(self.self_norm(x), layout, slopes))
        x = x + self.dropout(self.cross_attention(self.cross_norm(x), memory, layout))
        out = self.mlp(self.mlp_norm(x))
        return (x + out[0], out[1]) if isinstance(out, tuple) else (x + out, None)

    def step(self, x: Tensor, positions: Tensor, cache: GeneT5Cache, layer: int, slopes: Tensor) -> Tensor:
        """One token a row, x [batch, hidden], positions int64 [batch]; reads and writes the cache."""
        x = x + self.self_attention.step(self.self_norm(x), cache.keys[layer], cache.values[layer], positions, slopes)
        carried = cache.carried[layer]
        if carried is None or cache.length % self.block_size == 0:
            keys, values = cache.memory_keys[layer], cache.memory_values[layer]
            assert keys is not None
            assert values is not None
            carried = self.cross_attention.step(self.cross_norm(x), keys, values, cache.seen[0])
            cache.carried[layer] = carried
        x = x + carried
        out: Tensor = (self.mlp.step if isinstance(self.mlp, Experts) else self.mlp)(self.mlp_norm(x))
        return x + out


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
        if cache.memory_keys[0] is None:
            self._keep_memory(memory, lengths, cache)
        x = self.embedding(input_ids)
        positions = torch.full((x.shape[0],), cache.length, dtype=torch.int64, device=x.device)
        for index, layer in enumerate(self.layers):
            assert isinstance(layer, DecoderLayer)
            x = layer.step(x, positions, cache, index, self.slopes)
        cache.length += 1
        return self.norm(x)

    def _keep_memory(self, memory: Tensor, lengths: Tensor, cache: GeneT5Cache) -> None:
        """Keys and values of cross-attention, for all steps to come."""
        seen = torch.arange(memory.shape[1], device=memory.device) < lengths[:, None]
        cache.seen[0] = None if bool(seen.all()) else seen[:, None, None]
        for index, layer in enumerate(self.layers):
            assert isinstance(layer, DecoderLayer)
            keys, values = layer.cross_attention.keys_values(memory)
            cache.memory_keys[index] = keys.transpose(1, 2).contiguous()
            cache.memory_values[index] = values.transpose(1, 2).contiguous()
