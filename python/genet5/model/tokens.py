"""What the model knows of its tokens: the bases each DNA token stands for, and the ids of the language's own."""

from __future__ import annotations

import functools
import json
import re
import sys
from collections.abc import Sequence
from importlib import resources
from typing import Any

import torch
from torch import Tensor

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

# Longer tokens are runs of N alone (the gap tokens), so their letters need no room in the table.
_WIDTH = 64
UNKNOWN_LETTER = 4
_DNA = re.compile("[ACGTN]+")


@functools.cache
def builtin_tokens() -> tuple[str, ...]:
    """Every token of the built-in tokenizer in the order of ids: DNABERT-2's, then the annotation language's.

    Read from the files in `genet5.resources` that define them.
    """
    folder = resources.files("genet5.resources")
    document = json.loads((folder / "dnabert2" / "tokenizer.json").read_text())
    vocabulary = document["model"]["vocab"]
    ids = {**vocabulary, **{entry["content"]: entry["id"] for entry in document["added_tokens"]}}
    dna = sorted(ids, key=ids.__getitem__)
    table = tomllib.loads((folder / "tokens.toml").read_text())
    biotypes = tomllib.loads((folder / "biotypes.toml").read_text())["biotype"]
    added = [
        *("N" * length for length in table["gaps"]),
        *table["special"],
        *table["policy"],
        *table["isoform"],
        *table["strands"],
        *table["cuts"],
        *table["kinds"],
        *(f"<{entry['name']}>" for entry in biotypes),
        *(f"<{number}>" for number in range(table["numbers"])),
    ]
    return (*dna, *(token for token in added if token not in ids))


def token_ids(tokens: Sequence[str]) -> dict[str, Any]:
    """Configuration attributes that follow from a tokenizer's tokens in the order of their ids."""
    index = {token: i for i, token in enumerate(tokens)}
    number = index.get("<0>")
    if number is not None and any(index.get(f"<{n}>") != number + n for n in range(1000)):
        number = None
    return {
        "vocab_size": len(tokens),
        "number_token_id": number,
        "bos_token_id": index.get("<bos>"),
        "eos_token_id": index.get("<eos>"),
        "pad_token_id": index.get("[PAD]", 3),
    }


def builtin_token_ids() -> dict[str, Any]:
    """:func:`token_ids` of the built-in tokenizer."""
    return token_ids(builtin_tokens())


def base_table(tokens: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Letters of each token, uint8 [tokens, 64] (0..3 = A C G T, 4 = anything else), and lengths in bp, int32 [tokens].

    `[UNK]` stands for one letter that is none of A, C, G, T; tokens of the annotation language for none.
    """
    letters = torch.full((len(tokens), _WIDTH), UNKNOWN_LETTER, dtype=torch.uint8)
    lengths = torch.zeros(len(tokens), dtype=torch.int32)
    for index, token in enumerate(tokens):
        if token == "[UNK]":
            lengths[index] = 1
        elif _DNA.fullmatch(token):
            lengths[index] = len(token)
            known = ["ACGTN".index(letter) for letter in token[:_WIDTH]]
            letters[index, : len(known)] = torch.tensor(known, dtype=torch.uint8)
    return letters, lengths
