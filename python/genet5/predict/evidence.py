"""Evidence for every base of a sequence: a model's answers for overlapping windows, joined."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from genet5.model.modeling import Batch
from genet5.model.segments import Segments
from genet5.predict.windows import PredictionWindow, prediction_windows, window_bases

if TYPE_CHECKING:
    from genet5._core import Tokenizer
    from genet5.model import GeneT5ForConditionalGeneration

# Letter -> 0..3 for A C G T of either case, 4 for anything else.
_BASE_CODES = np.full(256, 4, dtype=np.uint8)
for _code, _letter in enumerate(b"ACGT"):
    _BASE_CODES[[_letter, _letter + 32]] = _code

CDS_FRAMES = slice(1, 4)


class Evidence(NamedTuple):
    """Evidence for ``[start, start + n)`` of a sequence, frames counted from the sequence's start.

    ``classes`` float32 [n, 2, 6] is each class's logit minus the intergenic one, ``signals`` float32 [n, 2, 6] the
    logits of signals at the base just inside (docs/architecture.md).
    """

    start: int
    classes: np.ndarray
    signals: np.ndarray


class EvidenceReader:
    """Reads evidence with a model. Windows of equal length share a batch of at most ``batch_bases`` bp."""

    def __init__(
        self,
        model: GeneT5ForConditionalGeneration,
        tokenizer: Tokenizer,
        *,
        window_size: int,
        overlap: int,
        batch_bases: int = 65_536,
        bf16: bool = False,
    ) -> None:
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.window_size = window_size
        self.overlap = overlap
        self.batch_windows = max(1, batch_bases // window_size)
        self.bf16 = bf16

    def read(
        self, sequence: bytes, circular: bool = False, on_progress: Callable[[int], None] | None = None
    ) -> Iterator[Evidence]:
        """Yield one sequence's evidence from left to right; the parts tile it. ``on_progress`` receives bp done."""
        windows = prediction_windows(len(sequence), self.window_size, self.overlap, circular)
        for first in range(0, len(windows), self.batch_windows):
            batch = windows[first : first + self.batch_windows]
            yield from self._read_batch(sequence, batch)
            if on_progress is not None:
                on_progress(batch[-1].core_end)

    def whole(
        self, sequence: bytes, circular: bool = False, on_progress: Callable[[int], None] | None = None
    ) -> Evidence:
        """The evidence of a whole sequence in two arrays: 96 bytes a base."""
        classes = np.empty((len(sequence), 2, 6), dtype=np.float32)
        signals = np.empty((len(sequence), 2, 6), dtype=np.float32)
        for part in self.read(sequence, circular, on_progress):
            end = part.start + len(part.classes)
            classes[part.start : end] = part.classes
            signals[part.start : end] = part.signals
        return Evidence(0, classes, signals)

    def inputs(self, letters: Sequence[bytes]) -> Batch:
        """A flat batch of windows on the model's device."""
        bases = np.concatenate([_BASE_CODES[np.frombuffer(text, dtype=np.uint8)] for text in letters])
        tokens, token_offsets = self.tokenizer.encode_batch(list(letters), threads=torch.get_num_threads())
        base_offsets = np.concatenate([[0], np.cumsum([len(text) for text in letters])])
        # Each token's start within its window: tokens cover the letters of the batch without a gap.
        lengths = self.tokenizer.token_lengths[tokens].astype(np.int64)
        window_starts = np.repeat(base_offsets[:-1], np.diff(token_offsets))
        positions = np.cumsum(lengths) - lengths - window_starts
        device = self.model.device
        return Batch(
            input_ids=torch.as_tensor(tokens.astype(np.int64), device=device),
            bases=torch.as_tensor(bases, device=device),
            positions=torch.as_tensor(positions, device=device),
            tracks=None,
            segments=Segments(
                token_offsets=torch.as_tensor(token_offsets, device=device),
                base_offsets=torch.as_tensor(base_offsets, device=device),
            ),
        )

    def _read_batch(self, sequence: bytes, windows: Sequence[PredictionWindow]) -> Iterator[Evidence]:
        letters = [window_bases(sequence, window) for window in windows]
        base_offsets = np.concatenate([[0], np.cumsum([len(text) for text in letters])])
        flat = self.inputs(letters)
        device = self.model.device
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=self.bf16):
            evidence = self.model.evidence(flat)
            signal_logits, _ = self.model.signal_logits(evidence)
        class_logits = evidence.class_logits
        relative = (class_logits - class_logits[..., :1]).float().cpu().numpy()
        signals = signal_logits.float().cpu().numpy()
        for window, offset in zip(windows, base_offsets[:-1], strict=True):
            core = slice(int(offset) + window.core_start - window.start, int(offset) + window.core_end - window.start)
            classes = relative[core].copy()
            # Frames of a window count from its start: frame f there is frame (f + start) mod 3 of the sequence.
            classes[..., CDS_FRAMES] = np.roll(classes[..., CDS_FRAMES], window.start % 3, axis=-1)
            yield Evidence(window.core_start, classes, signals[core])
