"""Small models and batches."""

from __future__ import annotations

import torch

from genet5.model import GeneT5Config, GeneT5ForConditionalGeneration, Segments
from genet5.model.segments import offsets_of

SIZES = {
    "hidden_size": 32,
    "encoder_layers": 2,
    "encoder_heads": 4,
    "encoder_ff_dim": 48,
    "encoder_window_size": 8,
    "head_channels": 16,
    "head_embedding": 8,
    "head_codon_channels": 8,
    "head_signal_channels": 8,
    "num_latents": 16,
    "compressor_layers": 1,
    "decoder_layers": 2,
    "decoder_heads": 4,
    "decoder_kv_heads": 2,
    "decoder_ff_dim": 24,
    "decoder_dropout": 0.0,
    "encoder_dropout": 0.0,
    "decoder_window_size": 5,
    "decoder_block_size": 3,
    "num_experts": 4,
    # Weights large enough that every path matters.
    **dict.fromkeys(("init_std", "init_embed_std", "init_ffn_std", "init_attn_std", "init_moe_router_std"), 0.3),
}


def tiny_config(**changes) -> GeneT5Config:
    return GeneT5Config.from_preset("micro", **{**SIZES, **changes})


def tiny_model(seed: int = 0, dtype=torch.float64, **changes) -> GeneT5ForConditionalGeneration:
    """A small model in evaluation mode, the paths that begin at zero opened."""
    torch.manual_seed(seed)
    model = GeneT5ForConditionalGeneration(tiny_config(**changes)).to(dtype).eval()
    with torch.no_grad():
        if model.base_head.tokens_in is not None:
            model.base_head.tokens_in.weight.normal_(0.0, 0.1)
        model.encoder.tracks.normal_(0.0, 0.3)
    return model


def tiny_batch(model, tokens: list[int], targets: list[int], seed: int = 0) -> dict:
    """A flat batch of random DNA and random sentences; lengths of segments in tokens."""
    generator = torch.Generator().manual_seed(seed)
    input_ids = torch.randint(5, 4096, (sum(tokens),), generator=generator)
    token_offsets = offsets_of(torch.tensor(tokens))
    base_offsets = offsets_of(model.token_lengths[input_ids])[token_offsets]
    target_offsets = offsets_of(torch.tensor(targets))
    sentence = torch.randint(4100, model.config.vocab_size, (sum(targets),), generator=generator)
    bases = int(base_offsets[-1])
    classes = torch.randint(-1, 6, (bases, 2), generator=generator).to(torch.int8)
    signals = torch.randint(-1, 2, (bases, 2, 6), generator=generator).to(torch.int8)
    return {
        "input_ids": input_ids,
        "segments": Segments(token_offsets, base_offsets, target_offsets),
        "decoder_input_ids": sentence,
        "labels": torch.where(torch.rand(sum(targets), generator=generator) < 0.1, -100, sentence.roll(-1)),
        "tracks": torch.randint(0, 256, (sum(tokens),), generator=generator).to(torch.uint8),
        "bases": model._letters(input_ids, model._lengths(input_ids)),
        "class_labels": classes,
        "signal_labels": signals,
    }


def segment(batch: dict, index: int) -> dict:
    """One segment of a flat batch, alone."""
    offsets = batch["segments"]
    token = slice(*offsets.token_offsets[index : index + 2].tolist())
    base = slice(*offsets.base_offsets[index : index + 2].tolist())
    target = slice(*offsets.target_offsets[index : index + 2].tolist())
    of = {"input_ids": token, "tracks": token, "bases": base, "class_labels": base, "signal_labels": base}
    of |= {"decoder_input_ids": target, "labels": target}
    alone = {name: batch[name][place] for name, place in of.items() if name in batch}
    lengths = [torch.tensor([0, place.stop - place.start]) for place in (token, base, target)]
    return {**alone, "segments": Segments(*lengths)}
