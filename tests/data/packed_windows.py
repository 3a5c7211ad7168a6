"""Small windows with true sentences for tests of packed files."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import numpy as np

import genet5.tokenize
from genet5 import language
from genet5._core import Vocabulary
from genet5.data import PackedWindow
from genet5.tokenize import append_tokens, builtin_tokens, load_tokenizer

RESOURCES = Path(genet5.tokenize.__file__).parent / "resources" / "dnabert2"


def grown_tokenizer(folder: Path, more: list[str] | None = None):
    """DNABERT-2's tokenizer with the built-in list (and more tokens) appended."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(RESOURCES / "tokenizer.json", folder)
    append_tokens(folder, builtin_tokens() + (more or []))
    return load_tokenizer(folder)


def _gene(generator: random.Random, start: int) -> tuple[str, dict]:
    codons = generator.randrange(3, 30)
    sense = [codon for codon in (a + b + c for a in "ACGT" for b in "ACGT" for c in "ACGT") if codon not in STOPS]
    cds = "ATG" + "".join(generator.choices(sense, k=codons)) + "TAA"
    span = {"start": start, "end": start + len(cds)}
    return cds, language.gene("+", [language.transcript([span], [span])])


STOPS = ("TAA", "TAG", "TGA")


def make_windows(tokenizer, count: int, seed: int = 0, tracks: bool = False) -> list[PackedWindow]:
    """Windows of two species, some reversed, with genes, runs of N, ignore intervals and masked ends."""
    generator = random.Random(seed)
    vocabulary = Vocabulary.from_tokens(tokenizer.tokens)
    windows = []
    for number in range(count):
        dna, genes = "", []
        for _ in range(generator.randrange(4)):
            dna += "".join(generator.choices("ACGT", k=generator.randrange(10, 60)))
            cds, gene = _gene(generator, len(dna))
            genes.append(gene)
            dna += cds
        dna += generator.choice(["ACGTTGCA", "NNNNNNNNNNACGTRYN", "a" * 70])
        reverse = generator.random() < 0.5
        sequence = dna.encode()
        sentence = language.encode(genes, sequence, 0, len(dna), vocabulary, reverse=reverse, utr=False)
        letters = dna.translate(str.maketrans("ACGTacgt", "TGCAtgca"))[::-1] if reverse else dna
        tokens = tokenizer.encode(letters.encode())
        masked = generator.random() < 0.2
        windows.append(
            PackedWindow(
                species=f"species {number % 2}",
                seqid=f"chr{number % 3}",
                start=1000 * number,
                dna=letters.encode(),
                sentence=sentence.tokens,
                reverse=reverse,
                genetic_code=generator.choice([1, 11]),
                flags=16 * (number % 4),
                loss_end=generator.randrange(len(sentence.tokens)) if masked else None,
                ignore=[(0, 5)] if generator.random() < 0.3 else [],
                tracks=np.asarray(tokens % 7, dtype=np.uint8) if tracks and number % 2 else None,
            )
        )
    return windows
