"""Parameters, memory and operations of a configuration, counted from its shapes."""

from __future__ import annotations

from typing import NamedTuple

import torch

from genet5.model.base_head import _OPEN_FEATURES, _STATE_OFFSETS, _TRIPLETS, CANDIDATE_KINDS
from genet5.model.configuration import GeneT5Config
from genet5.model.modeling import GeneT5ForConditionalGeneration

# Bases of a DNA token on average, measured on genomes from bacteria to human (4.4 to 5.5).
BASES_A_TOKEN = 4.9
# Candidates a base on random DNA, both strands: NTG, three stops, GT and GC, AG.
_CANDIDATES = 2 * (1 / 16 + 3 / 64 + 2 / 16 + 1 / 16)


class Counts(NamedTuple):
    """Parameters and forward operations of a part.

    Attributes:
        part: its name.
        parameters: stored.
        active: parameters that take part for one token (experts not chosen and other tokens' rows left out).
        flops: floating-point operations of a forward pass (a multiplication and an addition are two).
        unit: what `flops` are counted for: `token`, `base`, `latent` or `sentence token`.
    """

    part: str
    parameters: int
    active: int
    flops: float
    unit: str


def skeleton(config: GeneT5Config) -> GeneT5ForConditionalGeneration:
    """The model without memory for its weights (meta device)."""
    with torch.device("meta"):
        return GeneT5ForConditionalGeneration(config)


def count(config: GeneT5Config, tokens: int = 2048) -> list[Counts]:
    """Counts by part, for windows of `tokens` DNA tokens."""
    model = skeleton(config)
    width, ff = config.hidden_size, config.encoder_ff_dim

    def parameters(module: torch.nn.Module | None) -> int:
        return 0 if module is None else sum(parameter.numel() for parameter in module.parameters())

    window = tokens if config.encoder_window_size < 0 else min(tokens, config.encoder_window_size + 1)
    layer = 4 * width * width + 3 * width * ff
    rows = [
        Counts(
            "encoder",
            parameters(model.encoder),
            parameters(model.encoder) - (config.vocab_size - 1) * width,
            config.encoder_layers * (2 * layer + 4 * window * width),
            "token",
        )
    ]
    head = model.base_head
    channels, codon = config.head_channels, config.head_codon_channels
    # Six streams, a row of each every 3 * stride bases.
    row = len(config.head_dilations) * (3 * channels**2 + 2 * channels**2 / 3) + channels * config.head_stride * codon
    row += config.head_kernel * channels / 2
    if config.encoder_to_head:
        row += channels / 2
    if config.head_open_frames:
        row += config.head_stride * _OPEN_FEATURES * channels
    per_base = 6 * row / (3 * config.head_stride) + 2 * 6 * codon
    signal = len(_STATE_OFFSETS) * codon * config.head_signal_channels + _TRIPLETS * config.head_signal_channels / 2
    tables = parameters(head.signal_tables) + parameters(head.local) + parameters(head.codon_embedding)
    used = len(CANDIDATE_KINDS) * _TRIPLETS * config.head_signal_channels
    rows.append(
        Counts(
            "base head",
            parameters(head),
            parameters(head) - tables + used + codon + config.head_kernel * config.head_embedding,
            2 * (per_base + _CANDIDATES * signal),
            "base",
        )
    )
    between = parameters(model.positions) + parameters(model.head_to_tokens)
    rows.append(Counts("positions, head to tokens", between, between, 2 * between, "token"))
    latents = tokens
    if model.compressor is not None:
        latents = min(config.num_latents, -(-tokens // 2))
        stored = parameters(model.compressor)
        own = 2 * (config.compressor_layers * layer + 2 * width * width + 3 * width * ff)
        attention = 4 * width * (tokens + config.compressor_layers * latents)
        keys = 2 * 2 * width * width * tokens / latents
        active = stored - (config.num_latents - 1) * width
        rows.append(Counts("compressor", stored, active, own + attention + keys, "latent"))
    size = width // config.decoder_heads
    attention = 2 * width * width + 2 * width * config.decoder_kv_heads * size
    mlp = 3 * width * config.decoder_ff_dim
    chosen = config.moe_top_k if config.use_moe else 1
    router = width * config.num_experts if config.use_moe else 0
    cross = 2 * width * width / config.decoder_block_size
    flops = 2 * (attention + cross + chosen * mlp + router)
    flops += 4 * width * (config.decoder_window_size + latents / config.decoder_block_size)
    stored = parameters(model.decoder) + (0 if config.tie_weights else parameters(model.lm_head))
    idle = (config.num_experts - chosen) * mlp * config.decoder_layers if config.use_moe else 0
    rows.append(
        Counts(
            "decoder and head",
            stored,
            stored - idle,
            config.decoder_layers * flops + 2 * config.vocab_size * width,
            "sentence token",
        )
    )
    return rows


def evidence_active(config: GeneT5Config) -> int:
    """Parameters that take part for one token in the path that makes base evidence: encoder and base head."""
    rows = {row.part: row for row in count(config)}
    encoder = rows["encoder"].active if config.encoder_to_head else 0
    return encoder + rows["base head"].active


def activation_bytes(config: GeneT5Config, windows: int, bases: int, tokens: int, targets: int) -> int:
    """What a training step in float32 keeps for the backward pass, about, in bytes.

    Counts the tensors that each layer saves (inputs of products, norms and activations); attention keeps no weights.
    With gradient checkpointing, layers keep their inputs alone.
    """
    width, ff = config.hidden_size, config.encoder_ff_dim
    per_layer = 12 * width + 5 * ff
    decoder_ff = 5 * config.decoder_ff_dim * (config.moe_top_k if config.use_moe else 1)
    per_decoder = 14 * width + decoder_ff
    if config.gradient_checkpointing:
        per_layer = per_decoder = width
    latents = min(config.num_latents, -(-tokens // 2)) if config.num_latents else 0
    row = len(config.head_dilations) * (9 * config.head_channels) + 3 * config.head_channels
    head = 6 * row / (3 * config.head_stride) + 2 * (4 * config.head_codon_channels + 40)
    head += _CANDIDATES * (len(_STATE_OFFSETS) * config.head_codon_channels + 3 * config.head_signal_channels)
    numbers: float = tokens * config.encoder_layers * per_layer + tokens * 6 * width
    numbers += bases * head
    numbers += latents * (config.compressor_layers + 1) * per_layer
    numbers += targets * (config.decoder_layers * per_decoder + 3 * config.vocab_size)
    return int(4 * windows * numbers)
