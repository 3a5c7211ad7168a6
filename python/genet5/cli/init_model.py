"""Make a new model: DNABERT-2's weights for the encoder, new ones for the rest, and the tokenizer beside them.

Shapes come from --preset, the encoder's from --dnabert_path where it is given; flags override both. SAVE_DIR appears
whole or not at all.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

# Flag: type, metavar, help. Defaults are the preset's.
_SHAPES: dict[str, tuple[type, str]] = {
    "encoder_window_size": (int, "tokens that the encoder's attention spans, half to each side; -1 is full attention"),
    "num_latents": (int, "latents a window at most; 0 lets the decoder read the encoder's tokens"),
    "compressor_layers": (int, "self-attention layers over the latents"),
    "decoder_layers": (int, "layers of the decoder"),
    "decoder_heads": (int, "attention heads of the decoder"),
    "decoder_kv_heads": (int, "key/value heads of the decoder, a divisor of --decoder_heads"),
    "decoder_ff_dim": (int, "hidden width of the decoder's gated feed-forward parts (each expert's)"),
    "decoder_dropout": (float, "dropout of compressor and decoder, 0 to less than 1"),
    "decoder_block_size": (int, "sentence tokens that share one cross-attention"),
    "decoder_window_size": (int, "sentence tokens that the decoder's attention spans, itself included"),
    "num_experts": (int, "experts a decoder layer"),
    "moe_top_k": (int, "experts a token"),
    "init_std": (float, "standard deviation of new weights that no other flag names"),
    "init_embed_std": (float, "standard deviation of new embeddings"),
    "init_ffn_std": (float, "standard deviation of new feed-forward weights"),
    "init_attn_std": (float, "standard deviation of new attention weights"),
    "init_moe_router_std": (float, "standard deviation of new router weights"),
    "head_channels": (int, "channels of the base head's codon streams"),
}
_SWITCHES = {
    "encoder_to_head": "the encoder's token states inform the base head",
    "head_to_tokens": "the base head's states inform what the decoder reads",
    "head_open_frames": "the base head is told how far each codon is from the stop codons of its frame",
    "positions": "base-pair coordinates reach what the decoder reads",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options; names are the configuration's."""
    parser.add_argument("--save_dir", metavar="SAVE_DIR", type=Path, required=True, help="folder of the new model")
    parser.add_argument(
        "--dnabert_path",
        metavar="PATH_OR_ID",
        help="folder of a DNABERT-2 checkpoint, or its id on the hub (default: a new encoder of the preset's size)",
    )
    parser.add_argument(
        "--preset",
        default="base",
        help="sizes to start from: micro (for CPUs), small, base (the recipe) (default: base)",
    )
    parser.add_argument(
        "--tokenizer",
        metavar="PATH",
        type=Path,
        help="tokenizer.json or its folder; the tokens of the annotation language are appended where it lacks them "
        "(default: DNABERT-2's, from the package)",
    )
    parser.add_argument(
        "--taxon",
        default="unicellular",
        help="taxon whose default weights and priors the gene-finding program starts with (default: unicellular)",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of new weights (default: 0)")
    parser.add_argument("--overwrite", action="store_true", help="replace SAVE_DIR where it exists (default: refuse)")
    parser.add_argument(
        "--store_dtype",
        choices=("float16", "float32"),
        help="type of the stored weights; they are loaded as float32 (default: the preset's, float16 for micro)",
    )
    for name, help_ in (
        ("tie_weights", "use the decoder's embedding as its output head"),
        ("use_moe", "mixtures of experts in place of the decoder's feed-forward parts"),
    ):
        parser.add_argument(
            f"--{name}", action=argparse.BooleanOptionalAction, default=None, help=f"{help_} (default: the preset's)"
        )
    for name, (kind, help_) in _SHAPES.items():
        parser.add_argument(
            f"--{name}", type=kind, metavar="N" if kind is int else "X", help=f"{help_} (default: the preset's)"
        )
    for name, help_ in _SWITCHES.items():
        parser.add_argument(f"--{name}", choices=("on", "off"), help=f"{help_} (default: on)")


def _overrides(args: argparse.Namespace) -> dict[str, Any]:
    names = (*_SHAPES, "tie_weights", "use_moe", "store_dtype")
    chosen = {name: value for name in names if (value := getattr(args, name)) is not None}
    switched = {name: value == "on" for name in _SWITCHES if (value := getattr(args, name)) is not None}
    return chosen | switched


def run(args: argparse.Namespace) -> int:
    """Build, print the table of parts, write."""
    import json
    import shutil
    from importlib.resources import as_file, files

    import torch

    from genet5 import _core
    from genet5.errors import InputError
    from genet5.model import building
    from genet5.model.dnabert2 import checkpoint_directory
    from genet5.train.checkpoint import replaced_directory

    if args.save_dir.exists() and any(args.save_dir.iterdir() if args.save_dir.is_dir() else [args.save_dir]):
        if not args.overwrite:
            raise InputError(f"{args.save_dir} exists: name another folder, or give --overwrite to replace it")
        if not (args.save_dir / "config.json").is_file():
            raise InputError(f"{args.save_dir} holds no model (no config.json), so --overwrite does not replace it")
    parameters = _core.default_gene_parameters(args.taxon)
    dnabert = None if args.dnabert_path is None else checkpoint_directory(args.dnabert_path)

    with replaced_directory(args.save_dir) as directory:
        target = directory / "tokenizer.json"
        if args.tokenizer is not None:
            source = args.tokenizer / "tokenizer.json" if args.tokenizer.is_dir() else args.tokenizer
            shutil.copyfile(source, target)
        else:
            with as_file(files("genet5.resources") / "dnabert2" / "tokenizer.json") as path:
                shutil.copyfile(path, target)
        appended = _core.append_tokens(target, _core.builtin_tokens())
        tokens = _core.Tokenizer(target).tokens

        config = building.new_configuration(args.preset, _overrides(args), tokens, dnabert)
        model, rows = building.build(config, tokens, args.seed, dnabert)
        dtype = getattr(torch, config.store_dtype)
        stored = model if dtype == torch.float32 else model.to(dtype)
        stored.save_pretrained(directory)
        tokenizer_config = {
            "tokenizer_class": "GeneT5Tokenizer",
            "unk_token": "[UNK]",
            "pad_token": "[PAD]",
            "mask_token": "[MASK]",
            "bos_token": "<bos>",
            "eos_token": "<eos>",
        }
        (directory / "tokenizer_config.json").write_text(json.dumps(tokenizer_config, indent=2) + "\n")
        (directory / "gene_parameters.json").write_text(parameters)

    width = max(len(row.source) for row in rows)
    print(f"{'part':<24}  {'weights from':<{width}}  {'parameters':>13}")
    for row in rows:
        print(f"{row.part:<24}  {row.source:<{width}}  {row.parameters:>13,}")
    print(f"{'all':<24}  {'':<{width}}  {sum(row.parameters for row in rows):>13,}")
    print(f"tokenizer: {len(tokens):,} tokens, {len(appended):,} of them appended to {len(tokens) - len(appended):,}")
    print(f"{args.save_dir} is written (preset {args.preset}, seed {args.seed}, stored as {config.store_dtype})")
    return 0
