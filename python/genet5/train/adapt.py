"""Adaptation to a genome: its own likely genes teach the gene-finding program and the base head.

No annotation is read. The model's evidence makes some genes nearly sure; from these come a table of hexamers, a model
of the starts, and priors (`rust/src/decode/adaptation`), three times in a row. Then the base head is trained for a
short time on what is sure by then, without loss where it is not, and everything is done again with the evidence that
it gives.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from genet5._core import Annotation, Genome, GenomeDecoder
from genet5.errors import InputError
from genet5.predict.annotate import PredictionOptions, Reading, gene_parameters, open_model, tell

ROUNDS = 3
# Of the base head: the highest learning rate, and bp in a step.
_LEARNING_RATE = 1e-3
_STEP_BASES = 20_000
_LARGEST_GRADIENT = 1.0


def annotator_that_adapts(minutes: float) -> Callable[[Genome, Path, PredictionOptions], Annotation]:
    """What annotates a genome after adapting to it; `minutes` of training, 0 for none."""
    if not minutes >= 0:
        raise InputError(f"--adapt_minutes {minutes}: give minutes of training, or 0 for none")

    def annotate(genome: Genome, directory: Path, options: PredictionOptions) -> Annotation:
        return annotate_adapted(genome, directory, options, minutes)

    return annotate


def annotate_adapted(genome: Genome, directory: Path, options: PredictionOptions, minutes: float) -> Annotation:
    """Gene models of a genome's sequences, after adapting the program and the base head to them.

    Raises InputError for a taxon with introns.
    """
    # Refuses another program before the model is loaded.
    decoder = GenomeDecoder(gene_parameters(directory, options.taxon))
    reading = open_model(genome, directory, options)
    for seqid in reading.sequences:
        decoder.add(seqid, genome.sequence(seqid), reading.genetic_code(seqid), reading.circular(seqid))
    _read(reading, decoder)
    if _refit(decoder) and minutes > 0:
        labels = [decoder.labels(number) for number in range(len(reading.sequences))]
        train_on_own_genes(reading, labels, minutes)
        decoder.forget_evidence()
        _read(reading, decoder)
        _refit(decoder)
    return decoder.annotation(options.min_score)


def _read(reading: Reading, decoder: GenomeDecoder) -> None:
    progress = reading.progress()
    for number, seqid in enumerate(reading.sequences):
        for part in reading.evidence(seqid, progress):
            decoder.push(number, part.classes, part.signals)
        progress.finish(seqid, reading.length(seqid), "evidence read")


def _refit(decoder: GenomeDecoder) -> bool:
    """Rounds of refitting; whether there was enough to learn from."""
    for round_ in range(1, ROUNDS + 1):
        found = decoder.refit()
        if found is None:
            tell("warning: too few genes are sure to learn from them; the genome is annotated without adaptation")
            return False
        motifs = ", ".join(
            f"{word} {spacer} bp before {100 * share:.0f}% of the starts" for word, share, spacer in found.motifs
        )
        tell(f"adaptation, round {round_}: {found.genes:,} sure genes; {motifs}")
    return True


def _windows(
    reading: Reading, labels: list[tuple[NDArray[np.int8], NDArray[np.int8]]], generator: np.random.Generator
) -> Iterator[tuple[list[bytes], NDArray[np.int8], NDArray[np.int8]]]:
    """Endless batches of random windows: letters, class labels and signal labels, frames from each window's start."""
    sequences = [reading.genome.sequence(seqid) for seqid in reading.sequences]
    lengths = np.array([len(sequence) for sequence in sequences], dtype=np.float64)
    size = reading.reader.window_size
    while True:
        letters, classes, signals = [], [], []
        for number in generator.choice(len(sequences), max(1, _STEP_BASES // size), p=lengths / lengths.sum()):
            start = int(generator.integers(0, max(len(sequences[number]) - size, 0) + 1))
            part = slice(start, start + size)
            letters.append(sequences[number][part])
            own = labels[number][0][part].copy()
            coding = own > 0
            own[coding] = (own[coding] - 1 - start % 3) % 3 + 1
            classes.append(own)
            signals.append(labels[number][1][part])
        yield letters, np.concatenate(classes), np.concatenate(signals)


def train_on_own_genes(
    reading: Reading, labels: list[tuple[NDArray[np.int8], NDArray[np.int8]]], minutes: float
) -> None:
    """Train the base head of the model in memory for so many minutes; the model's folder does not change.

    `labels` are a sequence's class labels [bases, 2] and signal labels [bases, 2, 6] each, -1 without loss.
    """
    model, device = reading.reader.model, reading.reader.model.device
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    head = list(model.base_head.parameters())
    for parameter in head:
        parameter.requires_grad_(True)
    optimizer = torch.optim.AdamW(head, lr=_LEARNING_RATE, betas=(0.9, 0.98), weight_decay=0.01)
    batches = _windows(reading, labels, np.random.default_rng(0))
    model.train()
    model.encoder.eval()
    begin, limit, steps, mean_loss = time.monotonic(), 60 * minutes, 0, 0.0
    while (passed := time.monotonic() - begin) < limit:
        for group in optimizer.param_groups:
            group["lr"] = _LEARNING_RATE * min(1.0, (steps + 1) / 20) * (1 - passed / limit)
        letters, classes, signals = next(batches)
        flat = reading.reader.inputs(letters)
        with torch.autocast(device.type, torch.bfloat16, enabled=reading.reader.bf16):
            loss = model(
                input_ids=flat.input_ids,
                bases=flat.bases,
                segments=flat.segments,
                positions=flat.positions,
                class_labels=torch.as_tensor(classes, device=device),
                signal_labels=torch.as_tensor(signals, device=device),
            ).loss
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(head, _LARGEST_GRADIENT)
        optimizer.step()
        steps += 1
        mean_loss += (loss.item() - mean_loss) / min(steps, 50)
    model.eval()
    tell(f"adaptation: {steps} steps of training on the genome's own genes, loss {mean_loss:.3f}")
