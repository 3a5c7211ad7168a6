"""Losses by part, as sums and counts."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from genet5.model.base_head import ACCEPTOR, DONOR, INTRON, SIGNALS
from genet5.model.experts import RouterRecord

_ROWS = 8192


def text_loss(logits: Tensor, labels: Tensor, smoothing: float) -> tuple[Tensor, Tensor]:
    """Cross-entropy of labels [L] that are not -100, logits [L, vocabulary]; sum in float32, and count."""
    total = logits.new_zeros((), dtype=torch.float32)
    for rows, targets in zip(logits.split(_ROWS), labels.split(_ROWS), strict=True):
        if rows.requires_grad and len(logits) > _ROWS:
            # In chunks with recomputation: log-probabilities of the whole batch need not be held.
            total = total + checkpoint(_cross_entropy, rows, targets, smoothing, use_reentrant=False)
        else:
            total = total + _cross_entropy(rows, targets, smoothing)
    return total, (labels != -100).sum()


def _cross_entropy(logits: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    return F.cross_entropy(
        logits.float(), labels.to(torch.int64), ignore_index=-100, reduction="sum", label_smoothing=smoothing
    )


def class_loss(logits: Tensor, labels: Tensor, intron_weight: float = 1.0) -> tuple[Tensor, Tensor]:
    """Cross-entropy of classes [B, 2] that are at least 0, logits [B, 2, 6]; sum (introns weighted) and count."""
    weights = logits.new_ones(logits.shape[-1], dtype=torch.float32)
    weights[INTRON] = intron_weight
    targets = labels.to(torch.int64).flatten()
    rows = logits.float().reshape(-1, logits.shape[-1])
    loss = F.cross_entropy(rows, targets, weight=weights, ignore_index=-1, reduction="sum")
    return loss, (targets >= 0).sum()


def signal_loss(logits: Tensor, labels: Tensor, taken: Tensor, intron_weight: float = 1.0) -> Tensor:
    """Binary cross-entropy of signals [B, 2, 6] where `taken`; the sum, in which donors and acceptors weigh more."""
    weights = logits.new_ones(SIGNALS, dtype=torch.float32)
    weights[[DONOR, ACCEPTOR]] = intron_weight
    weights = weights.expand(taken.shape)[taken]
    targets = labels[taken].to(torch.float32)
    return F.binary_cross_entropy_with_logits(logits[taken].float(), targets, weights, reduction="sum")


def router_losses(records: list[RouterRecord]) -> dict[str, Tensor]:
    """Balance and z-loss: sums over tokens, means over layers."""
    return {
        "balance": torch.stack([record.balance for record in records]).mean(),
        "router_z": torch.stack([record.router_z for record in records]).mean(),
    }


def weighted_mean(sums: dict[str, Tensor], counts: dict[str, Tensor], weights: dict[str, float]) -> Tensor | None:
    """Sum over parts of weight * sum / count; None without parts."""
    terms = [weights[part] * total / counts[part].clamp(min=1) for part, total in sums.items()]
    return torch.stack(terms).sum() if terms else None
