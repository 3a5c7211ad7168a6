"""DNA to token ids: byte-pair encoding, equal to Hugging Face ``tokenizers`` for the upper-cased sequence.

A tokenizer is a ``tokenizer.json``. DNABERT-2's comes with the package; GeneT5's own is DNABERT-2's with the tokens of
the annotation language appended (``genet5 tokens append``), among them runs of N. Ids once given never change.

>>> tokenizer = default_tokenizer()
>>> ids = tokenizer.encode(b"ACGTGGTTTAAACGNNacgt")
>>> [tokenizer.tokens[token] for token in ids]
['ACG', 'TGGTTTAAA', 'CG', '[UNK]', '[UNK]', 'ACG', 'T']
>>> token_starts(tokenizer, ids).tolist()
[0, 3, 12, 14, 15, 16, 19]

Many sequences at once, on several threads:

>>> ids, offsets = tokenizer.encode_batch([b"ACGT", b"TTTT"], threads=2)
>>> offsets.tolist()
[0, 2, 3]
"""

from __future__ import annotations

from importlib.resources import as_file, files
from os import PathLike

import numpy as np
from numpy.typing import NDArray

from genet5._core import Tokenizer, append_tokens, builtin_tokens

__all__ = ["Tokenizer", "append_tokens", "builtin_tokens", "default_tokenizer", "load_tokenizer", "token_starts"]


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
