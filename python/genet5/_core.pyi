"""Types of the Rust extension."""

from collections.abc import Sequence
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

__version__: str

# --- annotation ---

class Genome:
    """The sequences of a FASTA file (or of GFF3's ``##FASTA`` part, or of GenBank records), in memory."""

    @staticmethod
    def read(path: str | PathLike[str]) -> Genome: ...
    def __len__(self) -> int: ...
    @property
    def ids(self) -> list[str]: ...
    @property
    def descriptions(self) -> list[str]: ...
    @property
    def lengths(self) -> list[int]: ...
    @property
    def circular(self) -> list[bool]: ...
    def sequence(self, id: str) -> bytes:
        """The bases as in the file (lower case is soft masking); raises KeyError."""

class Transcript:
    """Coordinates are 0-based, half-open, on the forward strand."""

    @property
    def id(self) -> str: ...
    @property
    def gene_id(self) -> str: ...
    @property
    def strand(self) -> str: ...
    @property
    def biotype(self) -> str: ...
    @property
    def exons(self) -> list[tuple[int, int]]: ...
    @property
    def cds(self) -> list[tuple[int, int]]: ...
    @property
    def cds_phase(self) -> int: ...
    @property
    def partial_5(self) -> bool: ...
    @property
    def partial_3(self) -> bool: ...
    @property
    def score(self) -> float | None: ...
    @property
    def flags(self) -> list[str]: ...

class Gene:
    """Coordinates are 0-based, half-open, on the forward strand; the canonical transcript is first."""

    @property
    def id(self) -> str: ...
    @property
    def name(self) -> str | None: ...
    @property
    def seqid(self) -> str: ...
    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...
    @property
    def strand(self) -> str: ...
    @property
    def biotype(self) -> str: ...
    @property
    def score(self) -> float | None: ...
    @property
    def flags(self) -> list[str]: ...
    @property
    def transcripts(self) -> list[Transcript]: ...

class Annotation:
    """Gene models on a list of sequences."""

    @staticmethod
    def read(path: str | PathLike[str], lenient: bool = False) -> Annotation: ...
    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> Gene: ...
    @property
    def genes(self) -> list[Gene]: ...
    @property
    def seqids(self) -> list[str]: ...
    @property
    def lengths(self) -> list[int | None]: ...
    @property
    def circular(self) -> list[bool]: ...
    @property
    def genetic_codes(self) -> list[int | None]: ...
    @property
    def report(self) -> dict[str, Any]:
        """``counts`` and ``examples`` by reason, and ``unknown_biotypes`` with their numbers."""

    def check_against(self, genome: Genome, lenient: bool = False) -> Annotation:
        """The annotation on the genome's list of sequences; raises where the two do not fit."""

    def write_gff3(self, path: str | PathLike[str], source: str = "GeneT5") -> None: ...
    def write_cds(self, path: str | PathLike[str], genome: Genome) -> None: ...
    def write_proteins(
        self,
        path: str | PathLike[str],
        genome: Genome,
        genetic_code: int | None = None,
        codes: dict[str, int] | None = None,
    ) -> None: ...
    def write_transcripts(self, path: str | PathLike[str], genome: Genome) -> None: ...
    def stats(
        self, genome: Genome | None = None, genetic_code: int | None = None, codes: dict[str, int] | None = None
    ) -> str:
        """JSON; see ``genet5.annotation.stats``."""

    def columns(self) -> dict[str, Any]: ...
    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object: ...

def reverse_complement(bases: bytes) -> bytes: ...
def translate(cds: bytes, genetic_code: int = 1, first_is_start: bool = False) -> bytes: ...
def biotypes() -> list[str]: ...

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
