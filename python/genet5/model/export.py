"""Export of the evidence path: encoder and base head as one program, for windows of any length."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from genet5.kernels import window_ranges
from genet5.model.modeling import GeneT5ForConditionalGeneration

_TOKENS, _BASES = 64, 300


class EvidenceProgram(nn.Module):
    """One window: tokens, bases and each token's start to logits of every base."""

    def __init__(self, model: GeneT5ForConditionalGeneration) -> None:
        super().__init__()
        self.encoder, self.base_head = model.encoder, model.base_head
        self.window = model.config.encoder_window

    def forward(self, input_ids: Tensor, bases: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        """input_ids int64 [T], bases uint8 [B], positions int64 [T] -> classes [B, 2, 6], tss and tts [B, 2, 2]."""
        tokens, length = input_ids.shape[0], bases.shape[0]
        segments = torch.stack((torch.zeros_like(positions[0]), torch.full_like(positions[0], tokens)))
        ranges = window_ranges(segments, tokens, self.window)
        states = self.encoder(input_ids, segments, ranges)
        place = torch.arange(length, device=bases.device)
        token_of_base = (torch.searchsorted(positions, place, right=True) - 1).clamp(min=0)
        layout = self.base_head.window_layout(bases)
        _, classes, ends = self.base_head(layout, states, token_of_base)
        return classes, ends


def export_evidence(model: GeneT5ForConditionalGeneration) -> ExportedProgram:
    """The evidence path of a model in evaluation mode; lengths of tokens and bases are free.

    Signal logits at candidates are not part of it: their number depends on the letters.
    """
    program = EvidenceProgram(model).eval()
    example = (
        torch.full((_TOKENS,), 9, dtype=torch.int64),
        torch.zeros(_BASES, dtype=torch.uint8),
        torch.arange(_TOKENS, dtype=torch.int64),
    )
    tokens, bases = Dim("tokens", min=2, max=1 << 20), Dim("bases", min=24, max=1 << 24)
    return torch.export.export(program, example, dynamic_shapes=({0: tokens}, {0: bases}, {0: tokens}))
