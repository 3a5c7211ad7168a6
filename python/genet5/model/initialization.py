"""New weights: normal with the configuration's standard deviations, by part.

`transformers.initialization` leaves alone what a checkpoint has loaded; `torch.nn.init` does not.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from torch import nn
from transformers import initialization as init

if TYPE_CHECKING:
    from genet5.model.configuration import GeneT5Config

# Logits of a signal at a candidate, and of tss and tts at any base, begin low: few of them are true.
_CANDIDATE_BIAS, _END_BIAS = -4.0, -6.0
_HEAD = "base_head"
_ATTENTION = ("qkv", "attention_out", "query", "key_value", "self_attention", "cross_attention")
_FEED_FORWARD = ("gate_up", "down", "mlp")


def mark(model: nn.Module) -> None:
    """Write the name of the standard deviation that a module's new weights take into each module."""
    for name, module in model.named_modules():
        parts = name.split(".")
        if parts[0] == _HEAD:
            kind = _HEAD
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
        module.weight_initialisation = kind  # type: ignore[assignment]


def initialise_module(module: nn.Module, config: GeneT5Config) -> None:
    """New weights of one module (not of its children)."""
    from genet5.model.base_head import BaseHead
    from genet5.model.compressor import Compressor
    from genet5.model.encoder import Encoder
    from genet5.model.experts import Experts

    kind = getattr(module, "weight_initialisation", "init_std")
    if isinstance(module, nn.LayerNorm):
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
    elif isinstance(module, Encoder):
        init.normal_(module.token_type, 0.0, config.init_embed_std)
        init.zeros_(module.tracks)
    elif isinstance(module, Compressor):
        init.normal_(module.latents, 0.0, config.init_embed_std)
    elif isinstance(module, Experts):
        init.normal_(module.gate_up, 0.0, config.init_ffn_std)
        init.normal_(module.down, 0.0, config.init_ffn_std)
    elif isinstance(module, BaseHead):
        _initialise_head(module)


def _initialise_head(head: nn.Module) -> None:
    # Modules come after their children, so this has the last word on the head's special parts.
    if head.tokens_in is not None:
        init.zeros_(head.tokens_in.weight)
    bias = head.codon_logits.bias.new_zeros(6)
    bias[4:] = _END_BIAS
    init.copy_(head.codon_logits.bias, bias)
    init.normal_(head.signal_tables.weight, 0.0, 0.05)
    init.zeros_(head.signal_bias.weight)
    weight = head.signal_out.weight.new_empty(head.signal_out.weight.shape).normal_(0.0, 0.2)
    weight[:, -1] = _CANDIDATE_BIAS
    init.copy_(head.signal_out.weight, weight)
