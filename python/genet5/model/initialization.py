"""New weights: normal with the configuration's standard deviations, by part.

`transformers.initialization` leaves alone what a checkpoint has loaded; `torch.nn.init` does not.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from transformers import initialization as init

if TYPE_CHECKING:
    from genet5.model.configuration import GeneT5Config

# Logits of a signal at a candidate, and of tss and tts at any base, begin low: few of them are true.
_CANDIDATE_BIAS, _END_BIAS = -4.0, -6.0
_HEAD = "base_head"
# Parts of the base head that begin in a way of their own; the last layer of a candidate's logit is `signal_out`.
_SPECIAL = ("tokens_in", "codon_logits", "signal_tables", "signal_bias", "signal_out")
_ATTENTION = ("qkv", "attention_out", "query", "key_value", "self_attention", "cross_attention")
_FEED_FORWARD = ("gate_up", "down", "mlp")


def mark(model: nn.Module) -> None:
    """Write the name of the standard deviation that a module's new weights take into each module."""
    for name, module in model.named_modules():
        parts = name.split(".")
        if parts[0] == _HEAD:
            kind = f"{_HEAD}.{parts[-1]}" if parts[-1] in _SPECIAL else _HEAD
        elif parts[-1] == "router":
            kind = "init_moe_router_std"
        elif isinstance(module, nn.Embedding) or parts[-1] == "lm_head":
            kind = "init_embed_std"
        elif any(part in _ATTENTION for part in parts):
            kind = "init_attn_std"
        elif any(part in _FEED_FORWARD for part in parts):
            kind = "init_ffn_std"
        else:
            kind = "init_std"
        module.weight_initialisation = kind


def initialise_module(module: nn.Module, config: GeneT5Config) -> None:
    """New weights of one module (not of its children)."""
    from genet5.model.compressor import Compressor
    from genet5.model.encoder import Encoder
    from genet5.model.experts import Experts
    from genet5.model.positions import Positions

    kind = getattr(module, "weight_initialisation", "init_std")
    if kind.startswith(f"{_HEAD}."):
        _initialise_special(module, kind.removeprefix(f"{_HEAD}."))
    elif isinstance(module, nn.LayerNorm):
        init.ones_(module.weight)
        init.zeros_(module.bias)
    elif isinstance(module, nn.Linear):
        # The head is a convolutional network of its own: variance by fan-in, as torch's default has it.
        std = 1 / math.sqrt(3 * module.in_features) if kind == _HEAD else getattr(config, kind)
        init.normal_(module.weight, 0.0, std)
        if module.bias is not None:
            init.zeros_(module.bias)
    elif isinstance(module, nn.Embedding):
        init.normal_(module.weight, 0.0, 1.0 if kind == _HEAD else config.init_embed_std)
    elif isinstance(module, Positions) and module.numbers is not None:
        # Close to a copy of both number tokens, the thousands' moved by half the width, so that one can be told from
        # the other: the decoder's tied head then reads a coordinate as it stands.
        width = module.numbers.out_features
        copy = torch.eye(width)
        values = torch.cat((copy.roll(width // 2, 0), copy), 1).to(module.numbers.weight)
        init.copy_(module.numbers.weight, values + config.init_std * torch.randn_like(values))
    elif isinstance(module, Encoder):
        init.normal_(module.token_type, 0.0, config.init_embed_std)
        init.zeros_(module.tracks)
    elif isinstance(module, Compressor):
        init.normal_(module.latents, 0.0, config.init_embed_std)
    elif isinstance(module, Experts):
        init.normal_(module.gate_up, 0.0, config.init_ffn_std)
        init.normal_(module.down, 0.0, config.init_ffn_std)


def _initialise_special(module: Any, name: str) -> None:
    weight = module.weight
    if name == "tokens_in":
        init.zeros_(weight)
    elif name == "codon_logits":
        init.normal_(weight, 0.0, 1 / math.sqrt(3 * weight.shape[1]))
        bias = module.bias.new_zeros(module.bias.shape)
        bias[4:] = _END_BIAS
        init.copy_(module.bias, bias)
    elif name == "signal_tables":
        init.normal_(weight, 0.0, 0.05)
    elif name == "signal_bias":
        init.zeros_(weight)
    else:
        values = weight.new_empty(weight.shape).normal_(0.0, 0.2)
        values[:, -1] = _CANDIDATE_BIAS
        init.copy_(weight, values)
