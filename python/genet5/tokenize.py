"""DNA to token ids: byte-pair encoding, equal to Hugging Face ``tokenizers`` for the upper-cased sequence.

A tokenizer is a ``tokenizer.json``. DNABERT-2's comes with the package; GeneT5's own is DNABERT-2's with the tokens of
the annotation language appended (``genet5 tokens append``), among them runs of N. Ids once given never change.

>>> tokenizer = default_tokenizer()
>>> ids = tokenizer.encode(b"ACGTGGTTTAAACGNNacgt")
>>> [tokenizer.tokens[token] for token in ids]
['A', 'CGTG', 'GTTTAAA', 'CG', '[UNK]', '[UNK]', 'A', 'C', 'GT']
>>> token_starts(tokenizer, ids).tolist()
[0, 1, 5, 12, 14, 15, 16, 17, 18]

Many sequences at once, on several threads:

>>> ids, offsets = tokenizer.encode_batch([b"ACGT", b"TTTT"], threads=2)
>>> offsets.tolist()
[0, 3, 4]
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from importlib.resources import as_file, files
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from genet5._core import Annotation, Tokenizer, append_tokens, builtin_tokens
from genet5.errors import FormatError
from genet5.files import write_whole

__all__ = [
    "Tokenizer",
    "append_tokens",
    "builtin_tokens",
    "default_tokenizer",
    "load_tokenizer",
    "new_biotype_tokens",
    "read_token_list",
    "shortened",
    "token_starts",
    "write_token_list",
]


def load_tokenizer(path: str | PathLike[str]) -> Tokenizer:
    """Read a ``tokenizer.json``, or the one in a folder such as a model's.

    Raises :class:`OSError` where there is none, :class:`genet5.errors.FormatError` where its options would split DNA in
    another way than plain byte-pair encoding does.
    """
    return Tokenizer(path)


def default_tokenizer() -> Tokenizer:
    """DNABERT-2's own 4,096 tokens, as the package holds them; every N is ``[UNK]``."""
    with as_file(files("genet5") / "resources" / "dnabert2" / "tokenizer.json") as path:
        return Tokenizer(path)


def token_starts(tokenizer: Tokenizer, ids: NDArray[np.integer]) -> NDArray[np.int64]:
    """Where each token begins, in bp from the first; shape of ``ids``."""
    lengths = tokenizer.token_lengths[ids].astype(np.int64)
    return np.cumsum(lengths) - lengths


def new_biotype_tokens(annotations: Iterable[str | PathLike[str]]) -> list[str]:
    """Tokens for biotypes of transcripts in annotation files that the built-in list lacks, sorted.

    Pseudogenes and mobile elements are never said, so they need none.
    """
    known = set(builtin_tokens())
    found: set[str] = set()
    for path in annotations:
        for gene in Annotation.read(path).genes:
            if not {"pseudogene", "mobile_element"} & set(gene.flags):
                found.update(f"<{transcript.biotype}>" for transcript in gene.transcripts)
    return sorted(found - known)


def read_token_list(path: str | PathLike[str]) -> list[str]:
    """Tokens from a text file, one a line; blank lines are passed over.

    Raises :class:`genet5.errors.FormatError`, with the line, for a token with a space in it or one that stands twice.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise FormatError(f"{os.fspath(path)}: not a list of tokens: {error}", path, 1) from None
    lines: dict[str, int] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        token = line.strip()
        if not token:
            continue
        if len(token.split()) > 1:
            raise FormatError(
                f"{os.fspath(path)}, line {number}: '{token}' holds a space; write one token a line", path, number
            )
        if token in lines:
            raise FormatError(
                f"{os.fspath(path)}, line {number}: '{token}' stands on line {lines[token]} already; take one out",
                path,
                number,
            )
        lines[token] = number
    return list(lines)


def write_token_list(path: str | PathLike[str], tokens: Sequence[str]) -> None:
    """Write tokens one a line; the file appears whole or not at all."""
    write_whole(path, "".join(f"{token}\n" for token in tokens))


def shortened(token: str) -> str:
    """A token as messages show it: runs of N may be hundreds of letters.

    >>> shortened("<tRNA>"), shortened(512 * "N")
    ('<tRNA>', 'NNNNNNNN... (512 letters)')
    """
    return token if len(token) <= 40 else f"{token[:8]}... ({len(token)} letters)"
