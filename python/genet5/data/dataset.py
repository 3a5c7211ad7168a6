"""Packed files as a dataset: one batched call gives flat arrays, without padding and without work per sample in Python.

>>> dataset = PackedDataset("training.packed")
>>> batch = dataset.batch([0, 5, 7])
>>> len(batch.input_ids) == int(batch.token_offsets[-1]), len(batch.bases) == int(batch.base_offsets[-1])
(True, True)
>>> dataset.place(int(batch.segment_ids[0]))
'species 0 chr0:1-353 (-)'

The memory of batches that are no longer in use is used again: drop one before the next is read where speed counts.

With torch's loader (any start method: a worker opens the file anew, and refuses another one of the same name):

>>> from torch.utils.data import DataLoader
>>> from genet5.data import TokenBudgetSampler
>>> sampler = TokenBudgetSampler(dataset.target_lengths, token_budget=45_500, max_batch_size=8)
>>> loader = DataLoader(dataset, batch_sampler=sampler, collate_fn=whole_batch, num_workers=0)
>>> sum(len(batch) for batch in loader) == dataset.file.n_segments
True
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from genet5._core import PackedFile, Tokenizer
from genet5.errors import InputError

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, eq=False)
class Batch:
    """A flat batch: S segments (windows), T tokens, B bases, L label tokens.

    No other batch in use shares the arrays' memory. It is used again for a later batch of the same file once nothing
    refers to it: no array, no tensor and no view of one.

    Attributes:
        input_ids: DNA tokens, int64 [T].
        positions: each token's start within its window in bp, int64 [T].
        bases: 0 1 2 3 for A C G T, 4 for anything else, uint8 [B].
        decoder_input_ids: sentences without their last token, int64 [L].
        labels: sentences without their first token, -100 where no loss is taken, int64 [L].
        token_offsets: where each segment's tokens begin, and their number, int64 [S + 1].
        base_offsets: the same for bases.
        target_offsets: the same for label tokens.
        class_labels: int8 [B, 2] (strands), -1 where no loss is taken.
        signal_labels: int8 [B, 2, 6], 1 true, 0 a false candidate, -1 neither.
        tracks: uint8 [T], or None where the file has no tracks.
        segment_ids: rows of the file's segment table, int64 [S].
    """

    input_ids: NDArray[np.int64]
    positions: NDArray[np.int64]
    bases: NDArray[np.uint8]
    decoder_input_ids: NDArray[np.int64]
    labels: NDArray[np.int64]
    token_offsets: NDArray[np.int64]
    base_offsets: NDArray[np.int64]
    target_offsets: NDArray[np.int64]
    class_labels: NDArray[np.int8]
    signal_labels: NDArray[np.int8]
    tracks: NDArray[np.uint8] | None
    segment_ids: NDArray[np.int64]

    def __len__(self) -> int:
        """The number of segments."""
        return len(self.segment_ids)

    def to_tensors(self, device: torch.device | str = "cpu") -> dict[str, torch.Tensor]:
        """The arrays that are not None as tensors by name; on the CPU they share the arrays' memory."""
        import torch

        arrays = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: torch.from_numpy(array).to(device) for name, array in arrays.items() if array is not None}


@dataclass(frozen=True, eq=False)
class PackedSegment:
    """One window of a packed file, with its place in its genome.

    Attributes:
        sample: the sample it is in.
        species, seqid: names.
        start, end: `[start, end)` on the forward strand, in bp; past the sequence's length where it wraps around a
            circular one.
        reverse: DNA and sentence are those of the reverse complement.
        genetic_code: NCBI's number.
        flags: bits that baking sets.
        dna: letters A, C, G, T and N (anything else).
        tokens: DNA tokens, uint32.
        sentence: annotation tokens from ``<bos>`` to ``<eos>``, uint32.
        loss_end: the sentence's tokens from this one on take no loss.
        ignore: `[start, end)` of the window where no loss is taken, in bp.
        tracks: one byte a token, or None.
    """

    sample: int
    species: str
    seqid: str
    start: int
    end: int
    reverse: bool
    genetic_code: int
    flags: int
    dna: str = field(repr=False)
    tokens: NDArray[np.uint32] = field(repr=False)
    sentence: NDArray[np.uint32] = field(repr=False)
    loss_end: int
    ignore: list[tuple[int, int]]
    tracks: NDArray[np.uint8] | None

    @property
    def place(self) -> str:
        """Species, sequence, 1-based closed coordinates and strand, as people write them."""
        return f"{self.species} {self.seqid}:{self.start + 1}-{self.end} ({'-' if self.reverse else '+'})"


class PackedDataset:
    """A packed file; a map-style dataset whose items are samples (packs of windows) as batches of one.

    Args:
        path: the packed file.
        tokenizer: a tokenizer, or the path of one, that is to be used with the data; refused unless its first tokens
            are those that the file was made with.
        threads: that read a batch together, this one among them. More than one only where batches are not read in
            worker processes already.

    Raises:
        OSError: no such file, or it cannot be read.
        FormatError: it is cut short, damaged, newer than this version, or no packed file.
        InputError: the tokenizer does not continue the file's, or there are no threads.
    """

    def __init__(
        self,
        path: str | PathLike[str],
        tokenizer: Tokenizer | str | PathLike[str] | None = None,
        *,
        threads: int = 1,
    ) -> None:
        if threads < 1:
            raise InputError(f"{threads} threads: a batch needs at least one")
        self.file = PackedFile(path)
        self.threads = threads
        if tokenizer is not None:
            self.file.check_tokenizer(tokenizer if isinstance(tokenizer, Tokenizer) else Tokenizer(tokenizer))

    def __repr__(self) -> str:
        return f"PackedDataset({str(self.path)!r}, {len(self)} samples)"

    def __len__(self) -> int:
        return len(self.file)

    @property
    def path(self) -> Path:
        """The packed file."""
        return Path(self.file.path)

    @property
    def fingerprint(self) -> str:
        """The same for files of the same content, 16 hexadecimal digits."""
        return self.file.fingerprint

    @property
    def tokens(self) -> list[str]:
        """The tokens that the file was made with, in the order of their ids."""
        return self.file.tokens

    @property
    def metadata(self) -> dict[str, Any]:
        """What baking recorded: species, flags, priors, tokenizer."""
        return json.loads(self.file.metadata)

    @property
    def token_lengths(self) -> NDArray[np.int64]:
        """DNA tokens of each sample [samples]."""
        return self.file.samples()["tokens"]

    @property
    def target_lengths(self) -> NDArray[np.int64]:
        """Label tokens of each sample [samples]: its sentences, each less one token."""
        samples = self.file.samples()
        return samples["labels"] - samples["segments"]

    def batch(self, indices: Sequence[int] | NDArray[np.integer]) -> Batch:
        """The samples at ``indices`` as one flat batch; the interpreter's lock is released meanwhile.

        Raises:
            FormatError: the file was cut, overwritten or damaged since it was opened.
            InputError: there is no such sample.
        """
        array = np.asarray(indices)
        if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
            raise InputError(f"indices of samples must be a list of whole numbers, not {array.dtype} {array.shape}")
        arrays: dict[str, Any] = self.file.batch(np.ascontiguousarray(array, dtype=np.int64), threads=self.threads)
        return Batch(**arrays)

    def __getitem__(self, index: int) -> Batch:
        if not -len(self) <= index < len(self):
            raise IndexError(f"sample {index}: {self.path} has {len(self)} samples, counted from 0")
        return self.batch([index])

    def __getitems__(self, indices: list[int]) -> Batch:
        """What torch's loader calls with a whole batch of indices; use ``collate_fn=whole_batch``."""
        return self.batch(indices)

    def segment(self, index: int) -> PackedSegment:
        """One row of the segment table with all that it points to."""
        row = self.file.segment(index)
        start = row.pop("start")
        return PackedSegment(start=start, end=start + row.pop("length"), **row)

    def place(self, index: int) -> str:
        """Where a segment lies in its genome, for messages."""
        return self.segment(index).place


def whole_batch(batch: Batch) -> Batch:
    """The ``collate_fn`` for :class:`PackedDataset`: its batches are whole already."""
    return batch
