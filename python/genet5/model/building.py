"""A new model: weights from DNABERT-2 where it has them, and where each part's weights come from."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from genet5.errors import InputError
from genet5.model import dnabert2
from genet5.model.configuration import GeneT5Config
from genet5.model.modeling import GeneT5ForConditionalGeneration
from genet5.model.resizing import grow_rows
from genet5.model.tokens import token_ids


class PartSource(NamedTuple):
    """A row of the table that `init_model.py` prints."""

    part: str
    source: str
    parameters: int


def new_configuration(
    preset: str, overrides: dict[str, Any], tokens: list[str], dnabert: Path | None = None
) -> GeneT5Config:
    """The preset's configuration, with the encoder of a DNABERT-2 checkpoint, with overrides; for a tokenizer."""
    encoder = {} if dnabert is None else dnabert2.encoder_configuration(dnabert)
    return GeneT5Config.from_preset(preset, **{**encoder, **token_ids(tokens), **overrides})


def build(
    config: GeneT5Config, tokens: list[str], seed: int = 0, dnabert: Path | None = None
) -> tuple[GeneT5ForConditionalGeneration, list[PartSource]]:
    """A model with new weights, seeded, its encoder from DNABERT-2 where a checkpoint is given.

    The decoder's self-attention begins as the encoder's of the same layer (keys and values mean-pooled over the heads
    that share one), where both have as many heads. New rows of the encoder's embedding are drawn from the mean and
    covariance of DNABERT-2's.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = GeneT5ForConditionalGeneration(config)
    model.set_tokens(tokens)
    loaded = attention = None
    if dnabert is not None:
        loaded = _load_encoder(model, dnabert, seed)
        attention = _copy_self_attention(model)
    return model, _sources(model, loaded, attention)


def _load_encoder(model: GeneT5ForConditionalGeneration, directory: Path, seed: int) -> str:
    state = dnabert2.encoder_state(dnabert2.read_state(directory), model.config.encoder_layers)
    embedding = state["embedding.weight"]
    if embedding.shape[0] > model.config.vocab_size:
        raise InputError(
            f"the checkpoint has {embedding.shape[0]} tokens, the tokenizer only {model.config.vocab_size}"
        )
    generator = torch.Generator().manual_seed(seed)
    state["embedding.weight"] = grow_rows(embedding, model.config.vocab_size, generator)
    state["tracks"] = torch.zeros_like(model.encoder.tracks)
    own = model.encoder.state_dict()
    wrong = [
        f"{name} {list(state[name].shape)} for {list(own[name].shape)}"
        for name in own
        if state[name].shape != own[name].shape
    ]
    if wrong:
        raise InputError(f"shapes of the checkpoint do not fit its configuration: {', '.join(wrong)}")
    model.encoder.load_state_dict(state)
    return f"DNABERT-2 ({directory.name})"


def _copy_self_attention(model: GeneT5ForConditionalGeneration) -> list[int]:
    """Copy the encoder's attention to the decoder's layers; the layers that took it."""
    config = model.config
    if config.encoder_heads != config.decoder_heads:
        return []
    taken = list(range(min(config.encoder_layers, config.decoder_layers)))
    width, kv = config.hidden_size, config.decoder_kv_heads

    def pooled(x: Tensor) -> Tensor:
        """Rows of heads [width, ...] to rows of key/value heads, means over each group."""
        grouped = x.reshape(kv, config.decoder_heads // kv, width // config.decoder_heads, *x.shape[1:])
        return grouped.mean(1).flatten(0, 1)

    with torch.no_grad():
        for index in taken:
            source: Any = model.encoder.layers[index]
            target: Any = cast(Any, model.decoder.layers[index]).self_attention
            for kind in ("weight", "bias"):
                q, k, v = getattr(source.qkv, kind).chunk(3)
                getattr(target.query, kind).copy_(q)
                getattr(target.key_value, kind).copy_(torch.cat((pooled(k), pooled(v))))
                getattr(target.out, kind).copy_(getattr(source.attention_out, kind))
    return taken


def _sources(
    model: GeneT5ForConditionalGeneration, loaded: str | None, attention: list[int] | None
) -> list[PartSource]:
    config = model.config

    def count(*modules: Any) -> int:
        return sum(parameter.numel() for module in modules for parameter in module.parameters())

    rows = [
        PartSource("encoder", loaded or f"new, std {config.init_std:g}", count(model.encoder)),
        PartSource("base head", "new, by fan-in", count(model.base_head)),
    ]
    if model.positions is not None:
        rows.append(PartSource("positions", f"new, std {config.init_std:g}", count(model.positions)))
    if model.head_to_tokens is not None:
        rows.append(PartSource("head to tokens", f"new, std {config.init_std:g}", count(model.head_to_tokens)))
    if model.compressor is not None:
        rows.append(PartSource("compressor", f"new, std {config.init_std:g}", count(model.compressor)))
    layers = model.decoder.layers
    copied = f"encoder layers 1 to {len(attention)}" if attention else f"new, std {config.init_attn_std:g}"
    experts = f"new, std {config.init_ffn_std:g}" + (
        f", router {config.init_moe_router_std:g}" if config.use_moe else ""
    )
    own = count(*(layer.self_attention for layer in layers))
    cross = count(*(layer.cross_attention for layer in layers))
    mlp = count(*(layer.mlp for layer in layers))
    embedding = count(model.decoder.embedding)
    rows += [
        PartSource("decoder embedding", f"new, std {config.init_embed_std:g}", embedding),
        PartSource("decoder self-attention", copied, own),
        PartSource("decoder cross-attention", f"new, std {config.init_attn_std:g}", cross),
        PartSource("decoder experts" if config.use_moe else "decoder feed-forward", experts, mlp),
        PartSource("decoder norms", "ones", count(model.decoder) - own - cross - mlp - embedding),
        PartSource("output head", "tied with the decoder's embedding", 0)
        if config.tie_weights
        else PartSource("output head", f"new, std {config.init_embed_std:g}", count(model.lm_head)),
    ]
    return rows
