"""Types of the Rust extension."""

from collections.abc import Sequence
from os import PathLike

import numpy as np
from numpy.typing import NDArray

__version__: str

# --- annotation ---

# --- end of annotation ---

# --- bake ---

# --- end of bake ---

# --- compare ---

# --- end of compare ---

# --- decode ---

# --- end of decode ---

# --- language ---

class Vocabulary:
    @staticmethod
    def builtin() -> Vocabulary: ...
    @staticmethod
    def from_file(path: str | PathLike[str]) -> Vocabulary: ...
    @staticmethod
    def from_tokens(tokens: list[str]) -> Vocabulary: ...
    def __len__(self) -> int: ...
    @property
    def tokens(self) -> list[str]: ...
    @property
    def biotypes(self) -> list[str]: ...
    def ids(self, tokens: list[str]) -> list[int]: ...
    def texts(self, ids: Sequence[int] | NDArray[np.uint32]) -> list[str]: ...
    def role(self, id: int) -> str: ...

def builtin_tokens() -> list[str]: ...
def language_reasons() -> list[tuple[str, str]]: ...
def encode_genes(
    genes: str,
    sequence: bytes,
    start: int,
    length: int,
    vocabulary: Vocabulary,
    *,
    reverse: bool = False,
    circular: bool = False,
    genetic_code: int = 1,
    utr: bool = True,
    noncoding: bool = True,
    isoforms: int | None = None,
) -> tuple[NDArray[np.uint32], int, list[tuple[int, int, str]]]: ...
def decode_sentence(
    tokens: list[int],
    length: int,
    vocabulary: Vocabulary,
    *,
    start: int = 0,
    reverse: bool = False,
    sequence_length: int | None = None,
) -> str: ...
def validate_sentence(tokens: list[int], length: int, vocabulary: Vocabulary) -> tuple[int, str] | None: ...
def base_labels(
    tokens: list[int],
    bases: NDArray[np.uint8],
    vocabulary: Vocabulary,
    *,
    genetic_code: int = 1,
    starts: list[str] | None = None,
    ignore: list[tuple[int, int]] = ...,
) -> tuple[NDArray[np.int8], NDArray[np.int8]]: ...

# --- end of language ---

# --- packed ---

# --- end of packed ---

# --- tokenizer ---

# --- end of tokenizer ---
