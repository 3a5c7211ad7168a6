"""Losses by part: what is summed where, and how a step's losses are normalised."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from genet5.data import Batch

PARTS = ("text", "class", "signal", "balance", "router_z")
# What a model is judged by; the other parts keep the experts in balance.
TEXT_PARTS = ("text", "balance", "router_z")
BASE_PARTS = ("class", "signal")
QUALITY_PARTS = ("text", "class", "signal")


def batch_counts(batch: Batch) -> dict[str, int]:
    """What each part of the loss is divided by, from the labels alone (docs/architecture.md, "A batch")."""
    counts = dict.fromkeys(PARTS, 0)
    if batch.labels is not None:
        counts["text"] = int(np.count_nonzero(batch.labels != -100))
        counts["balance"] = counts["router_z"] = len(batch.labels)
    if batch.class_labels is not None and batch.signal_labels is not None:
        counts["class"] = int(np.count_nonzero(batch.class_labels >= 0))
        counts["signal"] = int(np.count_nonzero(batch.signal_labels == 1))
    return counts


def intron_weight(priors: Mapping[str, int] | None) -> float:
    """Weight of introns that makes up for their rareness, from the counts of the training data's priors.

    The square root of genes by introns, so that they neither go under nor take over, from 1 to 5; 1 where there are too
    few to learn from (fewer than 20), as in prokaryotes.
    """
    if priors is None or priors["introns"] < 20:
        return 1.0
    return min(max(math.sqrt(priors["genes"] / priors["introns"]), 1.0), 5.0)


def add_counts(into: dict[str, int], counts: Mapping[str, int]) -> None:
    """Add counts by part."""
    for part, count in counts.items():
        into[part] = into.get(part, 0) + count


def normalised(
    sums: Mapping[str, torch.Tensor], counts: Mapping[str, float], weights: Mapping[str, float]
) -> torch.Tensor:
    """Weighted sum of `sums[part] / counts[part]`: a batch's share of the loss of everything that was counted."""
    terms = [weights[part] * value / max(counts[part], 1) for part, value in sums.items() if weights[part]]
    return torch.stack(terms).sum() if terms else torch.zeros(())


class LossMeter:
    """Sums and counts by part since the last reading; sums stay on their device until they are read."""

    def __init__(self) -> None:
        self._sums: dict[str, torch.Tensor] = {}
        self._counts: dict[str, int] = {}

    def add(self, sums: Mapping[str, torch.Tensor], counts: Mapping[str, int]) -> None:
        """Add a batch; only the counts of parts that have a sum."""
        for part, value in sums.items():
            detached = value.detach().float()
            self._sums[part] = self._sums[part] + detached if part in self._sums else detached
            self._counts[part] = self._counts.get(part, 0) + counts[part]

    def totals(self) -> list[float]:
        """Sums, then counts, in the order of `PARTS`."""
        return [float(self._sums.get(part, 0.0)) for part in PARTS] + [
            float(self._counts.get(part, 0)) for part in PARTS
        ]

    def clear(self) -> None:
        """Forget everything."""
        self._sums.clear()
        self._counts.clear()


def means(totals: list[float]) -> dict[str, float]:
    """Mean losses by part from :meth:`LossMeter.totals` (summed over processes); parts without a count are left out."""
    sums, counts = totals[: len(PARTS)], totals[len(PARTS) :]
    return {part: total / count for part, total, count in zip(PARTS, sums, counts, strict=True) if count}


def weighted(losses: Mapping[str, float], weights: Mapping[str, float], parts: tuple[str, ...]) -> float:
    """Weighted sum of mean losses over `parts`."""
    return sum(weights[part] * losses[part] for part in parts if part in losses)
