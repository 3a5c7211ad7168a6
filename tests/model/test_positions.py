"""Coordinates reach the decoder through the compressor."""

from __future__ import annotations

import pytest
import torch

from genet5.model import GeneT5Config, GeneT5ForConditionalGeneration

MOTIF = 2500


def windows(model, rows, tokens, generator):
    """Random DNA with one motif a row, and the sentence that says where it begins."""
    config = model.config
    ids = torch.randint(5, 4096, (rows, tokens), generator=generator)
    ids[ids == MOTIF] = 5
    row, place = torch.arange(rows), torch.randint(0, tokens, (rows,), generator=generator)
    ids[row, place] = MOTIF
    lengths = model.token_lengths[ids]
    start = (lengths.cumsum(1) - lengths)[row, place].long()
    number = config.number_token_id
    sentence = torch.stack(
        (
            torch.full((rows,), config.bos_token_id),
            number + start // 1000,
            number + start % 1000,
            torch.full((rows,), config.eos_token_id),
        ),
        1,
    )
    return ids, sentence[:, :-1], sentence[:, 1:]


def accuracy(positions, steps=350, longest=30, rate=3e-3):
    """Share of sentences written without an error, windows of 12 and of `longest` tokens, after training.

    Windows grow from at most 12 tokens to `longest`: at one fixed length the coordinate is hard to find.
    """
    torch.manual_seed(0)
    model = GeneT5ForConditionalGeneration(GeneT5Config.from_preset("micro", positions=positions))
    generator = torch.Generator().manual_seed(1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.01, betas=(0.9, 0.98))
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1, (step + 1) / 30) * (1 - step / steps)
        most = int(12 + (longest - 12) * min(1.0, 1.5 * step / steps))
        tokens = int(torch.randint(2, most + 1, (1,), generator=generator))
        ids, sentence, labels = windows(model, 32, tokens, generator)
        model(ids, sentence, labels=labels).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    model.eval()
    shares = []
    for tokens in (12, longest):
        ids, sentence, labels = windows(model, 256, tokens, torch.Generator().manual_seed(999))
        with torch.no_grad():
            written = model(ids, sentence).logits.argmax(-1)
        shares.append(float((written == labels).all(1).float().mean()))
    print(f"positions {'on' if positions else 'off'}: {shares}")
    return shares


@pytest.mark.long
def test_micro_learns_to_write_where_a_motif_begins_only_with_positions():
    short, long = accuracy(positions=True)
    assert short > 0.9
    assert long > 0.5
    short, long = accuracy(positions=False)
    assert short < 0.3
    assert long < 0.2
