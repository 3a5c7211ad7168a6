"""Batches of an epoch in order, prepared ahead by threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from genet5.train.losses import batch_counts

if TYPE_CHECKING:
    from genet5.data import Batch, PackedDataset

_TENSORS = ("input_ids", "positions", "bases", "decoder_input_ids", "labels", "class_labels", "signal_labels", "tracks")


@dataclass(frozen=True)
class LoadedBatch:
    """A batch as tensors on the host, what its losses are divided by, and where it comes from."""

    tensors: dict[str, torch.Tensor]
    offsets: tuple[torch.Tensor, torch.Tensor, torch.Tensor]
    counts: dict[str, int]
    segment_ids: np.ndarray
    tokens: int
    bases: int

    def inputs(self, device: torch.device, with_text: bool, with_bases: bool) -> dict[str, Any]:
        """Arguments of the model's `forward` on `device`; without text or bases, only what the other part needs."""
        from genet5.model import Segments

        left_out = set() if with_text else {"decoder_input_ids", "labels"}
        if not with_bases:
            left_out |= {"class_labels", "signal_labels"}
        arguments: dict[str, Any] = {
            name: tensor.to(device, non_blocking=True) for name, tensor in self.tensors.items() if name not in left_out
        }
        token, base, target = (offsets.to(device, non_blocking=True) for offsets in self.offsets)
        arguments["segments"] = Segments(token, base, target)
        return arguments


def load(batch: Batch, pin: bool) -> LoadedBatch:
    """Tensors over the batch's own arrays, without a copy unless they are pinned for transfers to a GPU."""

    def tensor(array: np.ndarray) -> torch.Tensor:
        made = torch.from_numpy(array)
        return made.pin_memory() if pin else made

    tensors = {name: tensor(value) for name in _TENSORS if (value := getattr(batch, name)) is not None}
    offsets = (tensor(batch.token_offsets), tensor(batch.base_offsets), tensor(batch.target_offsets))
    return LoadedBatch(tensors, offsets, batch_counts(batch), batch.segment_ids, len(batch.input_ids), len(batch.bases))


class BatchLoader:
    """Loads batches of sample indices; at most `ahead` batches are prepared before they are asked for.

    Threads suffice: reading a batch is native code without the interpreter's lock, and threads neither copy the
    mapped file's pages nor leave processes behind.
    """

    def __init__(
        self, dataset: PackedDataset, batches: Sequence[np.ndarray], workers: int, ahead: int, pin: bool = False
    ) -> None:
        self.dataset, self.batches, self.workers, self.ahead, self.pin = dataset, batches, workers, ahead, pin

    def _load(self, indices: np.ndarray) -> LoadedBatch:
        return load(self.dataset.batch(indices), self.pin)

    def batches_in_order(self) -> Generator[LoadedBatch]:
        """Yield the batches; closing the generator ends the threads."""
        if not self.workers:
            for indices in self.batches:
                yield self._load(indices)
            return
        executor = ThreadPoolExecutor(self.workers, thread_name_prefix="batches")
        waiting: deque[Future[LoadedBatch]] = deque()
        remaining = iter(self.batches)
        try:
            for indices in remaining:
                waiting.append(executor.submit(self._load, indices))
                if len(waiting) >= max(self.ahead, 1):
                    break
            while waiting:
                ready = waiting.popleft().result()
                following = next(remaining, None)
                if following is not None:
                    waiting.append(executor.submit(self._load, following))
                yield ready
        finally:
            for future in waiting:
                future.cancel()
            executor.shutdown(wait=True)
