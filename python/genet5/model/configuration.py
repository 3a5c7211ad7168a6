"""The configuration: attributes are named as the flags of `init_model.py`."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

from transformers import PreTrainedConfig

from genet5.errors import InputError

LOSS_WEIGHTS = {"text": 1.0, "class": 1.0, "signal": 0.2, "balance": 0.01, "router_z": 0.001}


def preset_names() -> list[str]:
    """Names of the presets in the package, each a JSON file of configuration attributes."""
    folder = resources.files("genet5.resources") / "presets"
    return sorted(entry.name.removesuffix(".json") for entry in folder.iterdir() if entry.name.endswith(".json"))


class GeneT5Config(PreTrainedConfig):
    """Everything that the shape of a model depends on; the defaults are the recipe's.

    Args:
        vocab_size: entries of the tokenizer, DNA tokens and annotation tokens.
        number_token_id: id of the token of the number 0; those of 1 to 999 follow. None: coordinates reach the decoder
            as sinusoids alone.
        hidden_size: width of encoder, compressor and decoder.
        encoder_layers, encoder_heads, encoder_ff_dim, encoder_dropout, layer_norm_eps: as DNABERT-2's.
        encoder_window_size: tokens; attention reaches `encoder_window_size // 2` to each side; -1 is full attention.
        encoder_to_head: the token states inform the base head.
        head_to_tokens: the base head's states inform what the decoder reads.
        head_channels: width of the six codon streams; `head_embedding` of a codon, `head_kernel` and `head_stride`
            codons of the first convolution, `head_dilations` of the residual blocks in steps, `head_codon_channels` of
            a codon's state, `head_signal_channels` of a candidate's.
        head_open_frames: the streams are told the distances to their stop codons.
        positions: base-pair coordinates reach what the decoder reads (off only in ablations).
        num_latents: latents of a segment at most; 0 lets the decoder read the tokens themselves.
        compressor_layers: self-attention layers over the latents.
        decoder_layers, decoder_heads, decoder_kv_heads, decoder_ff_dim, decoder_dropout: of the decoder.
        decoder_window_size: tokens that a token sees, itself included; at least 1.
        decoder_block_size: tokens that share one cross-attention.
        use_moe, num_experts, moe_top_k: mixture of experts in the decoder.
        tie_weights: the output head is the decoder's embedding.
        gradient_checkpointing: recompute activations in the backward pass.
        init_std, init_embed_std, init_ffn_std, init_attn_std, init_moe_router_std: standard deviations of new weights.
        label_smoothing: of the text loss.
        intron_weight: of introns' bases, donors and acceptors in the base head's losses; the trainer sets it.
        loss_weights: weight of each part (`text`, `class`, `signal`, `balance`, `router_z`) in `loss`.
        store_dtype: `float32` or `float16`, of the weights that `init_model.py` writes; they are loaded as float32.
        preset: the preset that this began as, or None.
    """

    model_type = "genet5"
    attribute_map = {"num_hidden_layers": "decoder_layers", "num_attention_heads": "decoder_heads"}  # noqa: RUF012
    keys_to_ignore_at_inference = ["past_key_values"]  # noqa: RUF012

    def __init__(
        self,
        vocab_size: int = 5153,
        number_token_id: int | None = None,
        hidden_size: int = 768,
        encoder_layers: int = 12,
        encoder_heads: int = 12,
        encoder_ff_dim: int = 3072,
        encoder_dropout: float = 0.1,
        encoder_window_size: int = 512,
        layer_norm_eps: float = 1e-12,
        encoder_to_head: bool = True,
        head_to_tokens: bool = True,
        head_channels: int = 256,
        head_embedding: int = 64,
        head_kernel: int = 16,
        head_stride: int = 8,
        head_dilations: list[int] | None = None,
        head_codon_channels: int = 32,
        head_signal_channels: int = 32,
        head_open_frames: bool = True,
        positions: bool = True,
        num_latents: int = 1024,
        compressor_layers: int = 2,
        decoder_layers: int = 12,
        decoder_heads: int = 12,
        decoder_kv_heads: int = 3,
        decoder_ff_dim: int = 3072,
        decoder_dropout: float = 0.1,
        decoder_window_size: int = 32,
        decoder_block_size: int = 16,
        use_moe: bool = True,
        num_experts: int = 16,
        moe_top_k: int = 2,
        tie_weights: bool = True,
        gradient_checkpointing: bool = False,
        init_std: float = 0.02,
        init_embed_std: float = 0.02,
        init_ffn_std: float = 0.02,
        init_attn_std: float = 0.02,
        init_moe_router_std: float = 0.006,
        label_smoothing: float = 0.0,
        intron_weight: float = 1.0,
        loss_weights: dict[str, float] | None = None,
        store_dtype: str = "float32",
        preset: str | None = None,
        pad_token_id: int = 3,
        bos_token_id: int | None = None,
        eos_token_id: int | None = None,
        **kwargs: Any,
    ) -> None:
        self.vocab_size = vocab_size
        self.number_token_id = number_token_id
        self.hidden_size = hidden_size
        self.encoder_layers = encoder_layers
        self.encoder_heads = encoder_heads
        self.encoder_ff_dim = encoder_ff_dim
        self.encoder_dropout = encoder_dropout
        self.encoder_window_size = encoder_window_size
        self.layer_norm_eps = layer_norm_eps
        self.encoder_to_head = encoder_to_head
        self.head_to_tokens = head_to_tokens
        self.head_channels = head_channels
        self.head_embedding = head_embedding
        self.head_kernel = head_kernel
        self.head_stride = head_stride
        self.head_dilations = [1, 2, 4, 8, 1, 4, 8] if head_dilations is None else list(head_dilations)
        self.head_codon_channels = head_codon_channels
        self.head_signal_channels = head_signal_channels
        self.head_open_frames = head_open_frames
        self.positions = positions
        self.num_latents = num_latents
        self.compressor_layers = compressor_layers
        self.decoder_layers = decoder_layers
        self.decoder_heads = decoder_heads
        self.decoder_kv_heads = decoder_kv_heads
        self.decoder_ff_dim = decoder_ff_dim
        self.decoder_dropout = decoder_dropout
        self.decoder_window_size = decoder_window_size
        self.decoder_block_size = decoder_block_size
        self.use_moe = use_moe
        self.num_experts = num_experts
        self.moe_top_k = moe_top_k
        self.tie_weights = tie_weights
        self.gradient_checkpointing = gradient_checkpointing
        self.init_std = init_std
        self.init_embed_std = init_embed_std
        self.init_ffn_std = init_ffn_std
        self.init_attn_std = init_attn_std
        self.init_moe_router_std = init_moe_router_std
        self.label_smoothing = label_smoothing
        self.intron_weight = intron_weight
        self.loss_weights = {**LOSS_WEIGHTS, **(loss_weights or {})}
        self.store_dtype = store_dtype
        self.preset = preset
        kwargs["is_encoder_decoder"] = True
        kwargs["tie_word_embeddings"] = tie_weights
        kwargs.setdefault("decoder_start_token_id", bos_token_id)
        tokens: dict[str, Any] = {
            "pad_token_id": pad_token_id,
            "bos_token_id": bos_token_id,
            "eos_token_id": eos_token_id,
        }
        super().__init__(**tokens, **kwargs)
        self.check()

    def check(self) -> None:
        """Raise :class:`InputError` where attributes do not fit together; the sentence names them as flags."""
        for heads in ("encoder_heads", "decoder_heads"):
            if self.hidden_size % getattr(self, heads):
                raise InputError(f"--{heads} {getattr(self, heads)} does not divide the hidden size {self.hidden_size}")
        if self.decoder_kv_heads < 1 or self.decoder_heads % self.decoder_kv_heads:
            raise InputError(
                f"--decoder_heads {self.decoder_heads} is no multiple of --decoder_kv_heads {self.decoder_kv_heads}"
            )
        if self.use_moe and not 1 <= self.moe_top_k <= self.num_experts:
            raise InputError(f"--moe_top_k {self.moe_top_k} must be between 1 and --num_experts {self.num_experts}")
        for name, least in (
            ("decoder_window_size", 1),
            ("decoder_block_size", 1),
            ("num_latents", 0),
            ("encoder_window_size", -1),
            ("head_stride", 1),
        ):
            if getattr(self, name) < least:
                raise InputError(f"--{name} {getattr(self, name)} must be at least {least}")
        if self.head_kernel < self.head_stride:
            raise InputError(f"head_kernel {self.head_kernel} must not be less than head_stride {self.head_stride}")
        if self.store_dtype not in ("float32", "float16"):
            raise InputError(f"--store_dtype {self.store_dtype} must be float32 or float16")
        unknown = set(self.loss_weights) - set(LOSS_WEIGHTS)
        if unknown:
            raise InputError(f"loss_weights has no part {sorted(unknown)}: parts are {sorted(LOSS_WEIGHTS)}")

    @property
    def encoder_window(self) -> tuple[int, int]:
        """Tokens to the left and right that the encoder's attention reaches; -1 is unlimited."""
        half = self.encoder_window_size if self.encoder_window_size < 0 else self.encoder_window_size // 2
        return half, half

    @classmethod
    def from_preset(cls, name: str, **overrides: Any) -> GeneT5Config:
        """The preset `name` (`micro`, `small`, `base`), with attributes overridden, for the built-in tokenizer."""
        if name not in preset_names():
            raise InputError(f"no preset {name!r}: presets are {', '.join(preset_names())}")
        from genet5.model.tokens import builtin_token_ids

        content = (resources.files("genet5.resources") / "presets" / f"{name}.json").read_text()
        return cls(**{**builtin_token_ids(), **json.loads(content), "preset": name, **overrides})
