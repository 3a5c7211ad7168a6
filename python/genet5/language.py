"""The annotation language: gene models to sentences of tokens and back, and labels of every base.

The language itself is described in ``docs/language.md``. All work is done in Rust; gene models cross as plain
dictionaries with the fields of a gene model: coordinates are 0-based, half-open, on the forward strand.

>>> sequence = b"CC" + b"ATG" + b"GCA" * 3 + b"TAA" + b"CCCC"
>>> cds = {"start": 2, "end": 17}
>>> genes = [gene("+", [transcript([cds], [cds])])]
>>> vocabulary = Vocabulary.builtin()
>>> sentence = encode(genes, sequence, 0, len(sequence), vocabulary, utr=False)
>>> " ".join(vocabulary.texts(sentence.tokens))
'<bos> <NOUTR> <ALL> <+> <protein_coding> <start> <0> <2> <stop> <0> <17> <eos>'

The same stretch, read on the other strand:

>>> mirrored = encode(genes, sequence, 0, len(sequence), vocabulary, utr=False, reverse=True)
>>> " ".join(vocabulary.texts(mirrored.tokens)[3:-1])
'<-> <protein_coding> <stop> <0> <4> <start> <0> <19>'

A window that begins within the gene says what it begins in, here the third base of a codon:

>>> cut = encode(genes, sequence, 4, 10, vocabulary, utr=False)
>>> " ".join(vocabulary.texts(cut.tokens)[3:-1])
'<+> <protein_coding> <cds2> <cds2>'
>>> [(part["start"], part["end"]) for part in decode(cut.tokens, 10, vocabulary, start=4)[0]["transcripts"][0]["cds"]]
[(4, 14)]
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genet5 import _core
from genet5._core import Vocabulary

__all__ = [
    "Sentence",
    "Vocabulary",
    "base_labels",
    "builtin_tokens",
    "decode",
    "encode",
    "gene",
    "reasons",
    "tell",
    "transcript",
    "validate",
]

Interval = dict[str, int]

_STRANDS = {"+": "Forward", "-": "Reverse", ".": "Unknown"}


@dataclass(frozen=True)
class Sentence:
    """A window's sentence and what it leaves unsaid.

    Attributes:
        tokens: ids, uint32 [tokens], from ``<bos>`` to ``<eos>``.
        masked_from: index of the first token that cannot be learned, because a gene that is not said would have to be
            mentioned there; ``len(tokens)`` where all can.
        ignored: ``(start, end, reason)`` of genes that are not said, in window coordinates (bp); reasons are explained
            by :func:`reasons`.
    """

    tokens: NDArray[np.uint32]
    masked_from: int
    ignored: list[tuple[int, int, str]]


def builtin_tokens() -> list[str]:
    """The tokens that every tokenizer of GeneT5 has after its DNA tokens, in the order of their ids.

    >>> builtin_tokens()[0], builtin_tokens()[4], builtin_tokens()[-1]
    ('N', '<bos>', '<999>')
    """
    return _core.builtin_tokens()


def reasons() -> dict[str, str]:
    """Why a gene may not be said: the names that reports use, and what they mean.

    >>> reasons()["no_stop_codon"]
    'its CDS does not end with a stop codon of the genetic code'
    """
    return dict(_core.language_reasons())


def transcript(
    exons: Sequence[Interval], cds: Sequence[Interval] = (), biotype: str | None = None, **fields: Any
) -> dict[str, Any]:
    """A transcript as :func:`encode` takes it; ``fields`` are ``id``, ``cds_phase``, ``flags``, ...."""
    if biotype is None:
        biotype = "protein_coding" if cds else "ncRNA"
    defaults = {"id": "", "cds_phase": 0, "partial_5": False, "partial_3": False, "flags": flags(), "score": None}
    return {**defaults, "biotype": biotype, "exons": list(exons), "cds": list(cds), **fields}


def gene(strand: str, transcripts: Sequence[dict[str, Any]], **fields: Any) -> dict[str, Any]:
    """A gene as :func:`encode` takes it: ``strand`` is ``+``, ``-`` or ``.``, the canonical transcript comes first."""
    span = {
        "start": min(exon["start"] for one in transcripts for exon in one["exons"]),
        "end": max(exon["end"] for one in transcripts for exon in one["exons"]),
    }
    defaults = {"id": "", "name": None, "seqid": 0, "span": span, "flags": flags(), "score": None}
    biotype = transcripts[0]["biotype"]
    return {**defaults, "strand": _STRANDS[strand], "biotype": biotype, "transcripts": list(transcripts), **fields}


def flags(**on: bool) -> dict[str, bool]:
    """What is unusual about a gene or a transcript; all off but those named."""
    names = ("pseudogene", "mobile_element", "slippage", "selenoprotein", "trans_splicing", "canonical")
    return {name: on.get(name, False) for name in names}


def _fields(one: dict[str, Any] | _core.Gene) -> dict[str, Any]:
    """A gene that was read from a file, as :func:`encode` takes it."""
    if isinstance(one, dict):
        return one

    def parts(pairs: list[tuple[int, int]]) -> list[Interval]:
        return [{"start": start, "end": end} for start, end in pairs]

    transcripts = [
        transcript(
            parts(each.exons),
            parts(each.cds),
            each.biotype,
            id=each.id,
            cds_phase=each.cds_phase,
            partial_5=each.partial_5,
            partial_3=each.partial_3,
            flags=flags(**dict.fromkeys(each.flags, True)),
        )
        for each in one.transcripts
    ]
    return {
        "id": one.id,
        "name": one.name,
        "seqid": 0,
        "span": {"start": one.start, "end": one.end},
        "strand": _STRANDS[one.strand],
        "biotype": one.biotype,
        "flags": flags(**dict.fromkeys(one.flags, True)),
        "score": None,
        "transcripts": transcripts,
    }


def encode(
    genes: Sequence[dict[str, Any] | _core.Gene],
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
) -> Sentence:
    """Write the sentence of a window.

    Args:
        genes: of the sequence, made by :func:`gene` or read from a file; those outside the window are skipped.
        sequence: the whole sequence (letters, either case); reading frames are checked in it.
        start: first base of the window, 0-based.
        length: of the window, in bp.
        reverse: the window is the reverse complement of the stretch.
        circular: the window and genes may pass the sequence's end.
        genetic_code: NCBI's number.
        utr: the source annotates UTRs (``<UTR>``).
        noncoding: the source annotates non-coding genes (``<ALL>``).
        isoforms: transcripts of a gene that are said, 1 for the canonical alone; all by default.

    Raises:
        genet5.errors.InputError: malformed gene models, a window that does not fit, a biotype without a token.
    """
    tokens, masked_from, ignored = _core.encode_genes(
        json.dumps([_fields(one) for one in genes]),
        sequence,
        start,
        length,
        vocabulary,
        reverse=reverse,
        circular=circular,
        genetic_code=genetic_code,
        utr=utr,
        noncoding=noncoding,
        isoforms=isoforms,
    )
    return Sentence(tokens, masked_from, ignored)


def tell(
    annotation: _core.Annotation,
    genome: _core.Genome,
    *,
    genetic_code: int | None = None,
    codes: dict[str, int] | None = None,
    utr: bool = True,
    noncoding: bool = True,
) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """What becomes of each gene of an annotation.

    Args:
        annotation: genes, as ``genet5.annotation.read`` returns them.
        genome: its sequences.
        genetic_code: NCBI's number for all sequences; by default the annotation's own (``transl_table``), else 1.
        codes: genetic codes of single sequences, by their id.
        utr: the source annotates UTRs.
        noncoding: the source annotates non-coding genes.

    Returns:
        ``(gene id, "said" | "unannotated" | reason)`` of every gene, in the annotation's order, and
        ``(transcript id, reason)`` of transcripts left out of genes that are said.
    """
    return _core.tell_genes(annotation, genome, genetic_code=genetic_code, codes=codes, utr=utr, noncoding=noncoding)


def decode(
    tokens: Iterable[int],
    length: int,
    vocabulary: Vocabulary,
    *,
    start: int = 0,
    reverse: bool = False,
    sequence_length: int | None = None,
) -> list[dict[str, Any]]:
    """Read a sentence back to gene models in sequence coordinates; ends cut by the window are partial.

    Args:
        tokens: ids from ``<bos>`` to ``<eos>``.
        length: of the window, in bp.
        start: first base of the window in its sequence.
        reverse: the window is the reverse complement of the stretch.
        sequence_length: of a circular sequence: genes past it are written from its start.

    Raises:
        genet5.errors.InputError: with the index of the token that is wrong.
    """
    text = _core.decode_sentence(
        [int(token) for token in tokens],
        length,
        vocabulary,
        start=start,
        reverse=reverse,
        sequence_length=sequence_length,
    )
    genes: list[dict[str, Any]] = json.loads(text)
    return genes


def validate(tokens: Iterable[int], length: int, vocabulary: Vocabulary) -> tuple[int, str] | None:
    """What is wrong with a sentence, as the index of a token and a message; None where nothing is.

    >>> vocabulary = Vocabulary.builtin()
    >>> words = "<bos> <UTR> <ALL> <+> <protein_coding> <start> <0> <3> <stop> <0> <10> <eos>"
    >>> validate(vocabulary.ids(words.split()), 60, vocabulary)
    (8, 'the CDS stops within a codon')
    """
    return _core.validate_sentence([int(token) for token in tokens], length, vocabulary)


def base_labels(
    tokens: Iterable[int],
    bases: NDArray[np.uint8],
    vocabulary: Vocabulary,
    *,
    genetic_code: int = 1,
    starts: Sequence[str] | None = None,
    ignore: Sequence[tuple[int, int]] = (),
) -> tuple[NDArray[np.int8], NDArray[np.int8]]:
    """Labels of a window's bases from its sentence, as ``docs/architecture.md`` defines them.

    Args:
        tokens: ids of the sentence.
        bases: uint8 [bases], 0 1 2 3 for A C G T and 4 for anything else.
        genetic_code: NCBI's number; gives the stop codons.
        starts: codons that are candidates of a start; by default ATG, and GTG and TTG in codes 4, 11 and 25.
        ignore: ``(start, end)`` in bp of stretches that take no loss.

    Returns:
        int8 [bases, 2] classes and int8 [bases, 2, 6] signals.

    >>> vocabulary = Vocabulary.builtin()
    >>> words = "<bos> <NOUTR> <CODING> <+> <protein_coding> <start> <0> <1> <stop> <0> <7> <eos>"
    >>> bases = np.array(["ACGT".index(base) for base in "CATGTAAC"], dtype=np.uint8)
    >>> classes, signals = base_labels(vocabulary.ids(words.split()), bases, vocabulary)
    >>> classes[:, 0].tolist()
    [0, 2, 2, 2, 2, 2, 2, 0]
    >>> np.argwhere(signals == 1).tolist()  # base, strand, kind: start at base 1, stop at base 6
    [[1, 0, 1], [6, 0, 4]]
    """
    return _core.base_labels(
        [int(token) for token in tokens],
        np.ascontiguousarray(bases, dtype=np.uint8),
        vocabulary,
        genetic_code=genetic_code,
        starts=None if starts is None else list(starts),
        ignore=list(ignore),
    )
