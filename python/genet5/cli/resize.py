"""Grow a model's embeddings to fit its tokenizer.

Rows of new tokens are drawn from the mean and covariance of the old rows; old rows stay bit for bit. The optimiser's
state beside the model, where there is one, grows too. MODEL is replaced in one step: whole, or not at all.
"""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Positional arguments and options."""
    parser.add_argument("model", metavar="MODEL", type=Path, help="folder of the model, changed in place")
    parser.add_argument("tokenizer", metavar="TOKENIZER", type=Path, help="tokenizer.json, or its folder")
    parser.add_argument(
        "--allow_shrink", action="store_true", help="let the last tokens' rows be cut off (default: refuse)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of new rows (default: 0)")


def run(args: argparse.Namespace) -> int:
    """Resize, and say by how much."""
    import shutil

    import torch
    from safetensors.torch import save_file

    from genet5 import _core
    from genet5.errors import InputError
    from genet5.model import GeneT5Config
    from genet5.model.dnabert2 import read_state
    from genet5.model.resizing import ROWS, check_growth, resize_optimizer, resize_state
    from genet5.model.tokens import base_table, token_ids
    from genet5.train.checkpoint import STATE_FILE, replaced_directory

    if not (args.model / "config.json").is_file():
        raise InputError(f"{args.model} holds no model (no config.json)")
    source = args.tokenizer / "tokenizer.json" if args.tokenizer.is_dir() else args.tokenizer
    tokens = _core.Tokenizer(source).tokens
    config = GeneT5Config.from_pretrained(args.model)
    state = read_state(args.model)
    before = config.vocab_size
    letters, lengths = base_table(tokens)
    held = state["token_lengths"]
    shared = min(before, len(tokens))
    own = args.model / "tokenizer.json"
    if own.is_file() and own.resolve() != source.resolve():
        check_growth(_core.Tokenizer(own).tokens[:before], tokens, args.allow_shrink)
    elif len(tokens) < before:
        check_growth(["?"] * len(tokens) + [""] * (before - len(tokens)), ["?"] * len(tokens), args.allow_shrink)
    changed = (letters[:shared] != state["token_letters"][:shared]).any(1) | (lengths[:shared] != held[:shared])
    if bool(changed.any()):
        bad = int(changed.nonzero()[0, 0])
        raise InputError(
            f"token {bad} ({tokens[bad]!r}) stands for other bases than the model knows: another tokenizer"
        )
    if len(tokens) == before:
        print(f"{args.model}: nothing to do, it has a row for each of the {before:,} tokens")
        return 0

    made = resize_state(state, len(tokens), torch.Generator().manual_seed(args.seed))
    made["token_letters"], made["token_lengths"] = letters, lengths
    config.update(token_ids(tokens))
    notes = []
    with replaced_directory(args.model) as directory:
        for path in args.model.iterdir():
            weights = path.name.endswith((".safetensors", ".safetensors.index.json", ".bin", ".bin.index.json"))
            if not weights and path.name not in ("config.json", STATE_FILE):
                (shutil.copytree if path.is_dir() else shutil.copy2)(path, directory / path.name)
        if source.resolve() != own.resolve():
            shutil.copyfile(source, directory / "tokenizer.json")
        config.save_pretrained(directory)
        save_file(made, directory / "model.safetensors", metadata={"format": "pt"})
        if (args.model / STATE_FILE).is_file():
            trainer = torch.load(args.model / STATE_FILE, map_location="cpu", weights_only=True)
            resized, dropped = resize_optimizer(trainer["optimizer"], before, len(tokens), config.hidden_size)
            torch.save(trainer, directory / STATE_FILE)
            notes.append(f"the optimiser's state has {resized} tensors resized, {dropped} to be made anew")
    verb = "grew" if len(tokens) > before else "shrank"
    named = ", ".join(name for name in ROWS if name in state)
    print(f"{args.model} {verb} from {before:,} to {len(tokens):,} tokens: {named}")
    for note in notes:
        print(note)
    return 0
