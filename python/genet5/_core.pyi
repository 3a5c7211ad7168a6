"""Types of the Rust extension."""

from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Literal

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
    def read(path: str | PathLike[str], lenient: bool = False, threads: int | None = None) -> Annotation: ...
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

    def write_gff3(self, path: str | PathLike[str], source: str = "GeneT5", threads: int | None = None) -> None: ...
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

def bake_check(config: str) -> None: ...
def bake_scan(config: str) -> str: ...
def bake_plan(config: str) -> str: ...
def bake_species(
    config: str, progress: Callable[[int, int], None] | None = None, scan: BakeScan | None = None
) -> str: ...

class BakeScan:
    """A species read as a whole; one ``bake_species`` can go on from it."""

    needs: str
    def __init__(self, config: str) -> None: ...

def read_toml(path: str | PathLike[str]) -> str:
    """JSON of a TOML file's tables; a syntax error is a :class:`FormatError` with the line."""

def sha256(content: bytes) -> str:
    """SHA-256 in hexadecimal digits."""

def windows_of(
    length: int,
    circular: bool,
    genes: list[tuple[int, int]],
    sizes: tuple[int, int, int | None],
    removed: list[tuple[int, int]],
) -> list[tuple[int, int]]: ...

# --- end of bake ---

# --- compare ---

LEVELS: list[str]

def compare(
    predicted: Annotation,
    reference: Annotation,
    seqids: list[str] | None = None,
    coding_only: bool = False,
    strict: bool = False,
    end_range: int = 100,
) -> dict[str, dict[str, float]]:
    """By level of ``LEVELS``: ``sn``, ``pr``, ``f1`` in percent, and the counts ``tp`` (found), ``ref``, ``pred``.

    ``base`` to ``locus`` are gffcompare's, ``strict`` and ``end_range`` its ``--strict-match`` and ``-e`` (bp);
    ``cds_base`` to ``gene`` look at coding sequences alone and are exact.
    """

# --- end of compare ---

# --- decode ---

class GeneDecoder:
    """Turns evidence into gene models by an exact dynamic program; made from the JSON of gene parameters.

    ``classes`` and ``signals`` are C-contiguous float32 ``[bases, 2, 6]``: class minus intergenic logits, and signal
    logits at the base just inside. Raises InputError for anything else, and where evidence does not cover the sequence.
    """

    def __init__(self, parameters_json: str) -> None: ...
    @property
    def parameters(self) -> str: ...
    @property
    def program(self) -> Literal["spliced", "prokaryotes"]: ...
    def decode(
        self,
        seqid: str,
        sequence: bytes,
        classes: NDArray[np.float32],
        signals: NDArray[np.float32],
        genetic_code: int = 1,
        circular: bool = False,
        min_score: float = 0.0,
    ) -> Annotation:
        """Genes of one sequence; ``min_score`` (probability, 0 to 1) leaves unlikely ones out."""

    def alternatives(
        self,
        seqid: str,
        sequence: bytes,
        classes: NDArray[np.float32],
        signals: NDArray[np.float32],
        start: int,
        wanted: int = 4,
        genetic_code: int = 1,
    ) -> list[tuple[float, Annotation]]:
        """Up to ``wanted`` different annotations of the stretch from ``start`` on that the evidence covers, best first.

        Each has its score in nats. The stretch's ends must lie between genes, but for those of the sequence.
        """

    def stream(self, seqid: str, sequence: bytes, genetic_code: int = 1, circular: bool = False) -> GeneStream:
        """The same with evidence that arrives in chunks; memory does not grow with the sequence's evidence."""

class GeneStream:
    """Decodes one sequence whose evidence arrives in chunks, from its first base to its last."""

    def push(self, classes: NDArray[np.float32], signals: NDArray[np.float32]) -> None: ...
    def finish(self, min_score: float = 0.0) -> Annotation: ...

def default_gene_parameters(taxon: str) -> str: ...
def gene_parameters_with_priors(parameters_json: str, counts_json: str) -> str: ...
def collect_priors(
    annotation: Annotation,
    genome: Genome,
    genetic_code: int = 1,
    codes: dict[str, int] | None = None,
    seqids: list[str] | None = None,
) -> str:
    """JSON of the counts behind the priors, from the canonical transcripts of complete coding genes."""

def fit_gene_parameters(
    regions: list[
        tuple[bytes, NDArray[np.float32], NDArray[np.float32], list[tuple[str, list[list[tuple[int, int]]]]], int]
    ],
    parameters_json: str,
    rounds: int = 0,
    threads: int = 0,
    progress: Callable[[int, int, float, float], object] | None = None,
) -> str:
    """The parameters with weights and calibration fitted to validation regions.

    A region is its bases, ``classes`` and ``signals`` as for :class:`GeneDecoder`, its whole genes (strand, and the
    coding parts of each isoform, 0-based in the region) and its genetic code. Weights of the spliced program are the
    likeliest ones, those of the prokaryotes' what a search for gene F1 finds, in at most ``rounds`` rounds (0: as many
    as usual). Deterministic. ``progress`` is called now and then with the round, the evaluations so far, the objective,
    and gene F1 in percent (NaN where it is not known; at last that of the result); what it raises stops the fit.
    """

def merge_priors(counts_json: list[str]) -> str: ...
def longest_orfs(
    genome: Genome, min_length: int = 300, genetic_code: int = 1, codes: dict[str, int] | None = None
) -> Annotation:
    """Every ATG..stop of at least ``min_length`` bp, longest first, each taken if no base of it was taken before."""

def concat_annotations(annotations: list[Annotation]) -> Annotation: ...

# --- end of decode ---

# --- adaptation ---

class GenomeDecoder:
    """Decodes a genome's sequences as one, and adapts to it: what its confident genes say is put to use.

    Made from the JSON of gene parameters of prokaryotes; raises InputError for those of taxa with introns. For
    experiments: the factors of the log odds of hexamers and starts in a gene's score, and of those between a gene's
    starts before its starts are learned from.
    """

    def __init__(
        self,
        parameters_json: str,
        hexamers: float | None = None,
        starts: float | None = None,
        sharpness: float | None = None,
    ) -> None: ...
    def add(self, seqid: str, sequence: bytes, genetic_code: int = 11, circular: bool = False) -> int:
        """Take the genome's next sequence; returns its number."""

    def push(self, number: int, classes: NDArray[np.float32], signals: NDArray[np.float32]) -> None:
        """Take evidence of a sequence's next bases, as :meth:`GeneStream.push` does."""

    def forget_evidence(self) -> None:
        """Drop the evidence of all sequences; what was learned stays."""

    def refit(self) -> Refit | None:
        """Learn from the genes that are likely now; None, and no change, where they are too few."""

    def labels(self, number: int) -> tuple[NDArray[np.int8], NDArray[np.int8]]:
        """Labels of classes ``[bases, 2]`` and signals ``[bases, 2, 6]`` by what is likely now, -1 where unsure."""

    def annotation(self, min_score: float = 0.0) -> Annotation:
        """Genes of all sequences; the evidence stays."""

class Refit:
    """What a round of adaptation found."""

    @property
    def genes(self) -> int:
        """Confident genes that were learned from."""

    @property
    def motifs(self) -> list[tuple[str, float, int]]:
        """Motifs upstream of starts: consensus, share of the starts that have it, bases between it and the start."""

# --- end of adaptation ---

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
def tell_genes(
    annotation: Annotation,
    genome: Genome,
    *,
    genetic_code: int | None = None,
    codes: dict[str, int] | None = None,
    utr: bool = True,
    noncoding: bool = True,
) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]: ...
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

class PackedFile:
    def __init__(self, path: str | PathLike[str], fingerprint: str | None = None) -> None: ...
    def __len__(self) -> int: ...
    @property
    def path(self) -> Path: ...
    @property
    def n_samples(self) -> int: ...
    @property
    def n_segments(self) -> int: ...
    @property
    def file_bytes(self) -> int: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def metadata(self) -> str: ...
    @property
    def tokens(self) -> list[str]: ...
    @property
    def prefix_hash(self) -> str: ...
    @property
    def species(self) -> list[str]: ...
    @property
    def seqids(self) -> list[str]: ...
    @property
    def has_tracks(self) -> bool: ...
    def check_tokenizer(self, tokenizer: Tokenizer) -> None: ...
    def samples(self) -> dict[str, NDArray[np.int64]]: ...
    def segments(self) -> dict[str, NDArray[Any]]: ...
    def segment(self, index: int) -> dict[str, Any]: ...
    def batch(
        self,
        indices: NDArray[np.int64],
        *,
        bases: bool = True,
        text: bool = True,
        base_labels: bool = True,
        threads: int = 1,
    ) -> dict[str, NDArray[Any] | None]: ...
    def check_unchanged(self) -> None: ...
    def verify(self, threads: int | None = None) -> int: ...
    def subset(
        self,
        path: str | PathLike[str],
        *,
        fraction: float | None = None,
        count: int | None = None,
        seed: int = 0,
    ) -> int: ...
    def shuffle(self, path: str | PathLike[str], *, seed: int = 0) -> None: ...
    def split(self, paths: Sequence[str | PathLike[str]], weights: Sequence[float], *, seed: int = 0) -> list[int]: ...

class PackedWriter:
    def __init__(self, path: str | PathLike[str], tokenizer: Tokenizer) -> None: ...
    def add(
        self,
        species: str,
        seqid: str,
        start: int,
        dna: bytes,
        sentence: NDArray[np.uint32],
        *,
        reverse: bool = False,
        genetic_code: int = 1,
        flags: int = 0,
        loss_end: int | None = None,
        ignore: Sequence[tuple[int, int]] = (),
        tracks: NDArray[np.uint8] | None = None,
    ) -> int: ...
    def finish(self, target: int, hard_limit: int, max_labels: int, metadata: str) -> int: ...

def merge_packed(
    paths: Sequence[str | PathLike[str]], path: str | PathLike[str], *, metadata: str | None = None
) -> int: ...
def plan_packs(
    tokens: Sequence[int] | NDArray[Any],
    labels: Sequence[int] | NDArray[Any],
    target: int,
    hard_limit: int,
    max_labels: int,
) -> tuple[NDArray[np.int64], int, int, str]: ...

# --- end of packed ---

# --- tokenizer ---

class Tokenizer:
    def __init__(self, path: str | PathLike[str]) -> None: ...
    def __len__(self) -> int: ...
    @property
    def path(self) -> Path: ...
    @property
    def tokens(self) -> list[str]: ...
    @property
    def token_lengths(self) -> NDArray[np.uint16]: ...
    @property
    def unknown(self) -> int: ...
    @property
    def is_linear(self) -> bool: ...
    def id(self, token: str) -> int | None: ...
    def prefix_hash(self, count: int | None = None) -> str: ...
    def encode(self, sequence: bytes) -> NDArray[np.uint32]: ...
    def encode_batch(
        self, sequences: Sequence[bytes], threads: int = 1
    ) -> tuple[NDArray[np.uint32], NDArray[np.int64]]: ...

def append_tokens(
    path: str | PathLike[str], tokens: Sequence[str], *, dry_run: bool = False
) -> list[tuple[str, int]]: ...

# --- end of tokenizer ---
