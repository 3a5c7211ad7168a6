"""A model of a few hundred parameters and a handful of packs, with the interfaces of the real ones."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from torch import nn

from genet5.train.options import TrainingOptions
from genet5.train.trainer import Trainer

VOCABULARY = 24


@dataclass(frozen=True)
class TinyBatch:
    input_ids: np.ndarray
    positions: np.ndarray
    bases: np.ndarray
    decoder_input_ids: np.ndarray
    labels: np.ndarray
    token_offsets: np.ndarray
    base_offsets: np.ndarray
    target_offsets: np.ndarray
    class_labels: np.ndarray
    signal_labels: np.ndarray
    tracks: np.ndarray | None
    segment_ids: np.ndarray


class TinyDataset:
    """Packs of one segment each; `poisoned` is the index of a pack that makes the loss infinite."""

    def __init__(self, samples: int, seed: int = 0, poisoned: int | None = None) -> None:
        generator = np.random.default_rng(seed)
        self.target_lengths = generator.integers(3, 9, samples)
        self.seed, self.poisoned = seed, poisoned
        self.fingerprint = f"tiny {samples} {seed}"
        self.metadata: dict[str, object] = {}

    def __len__(self) -> int:
        return len(self.target_lengths)

    def place(self, segment: int) -> str:
        return f"chrT:{segment * 100 + 1}-{segment * 100 + 100}"

    def batch(self, indices: np.ndarray) -> TinyBatch:
        parts = []
        for index in indices:
            generator = np.random.default_rng([self.seed, int(index)])
            tokens, length = int(generator.integers(4, 10)), int(self.target_lengths[index])
            ids = generator.integers(5, VOCABULARY, tokens)
            sentence = np.concatenate([[1], np.sort(generator.integers(5, VOCABULARY, length))])
            labels = sentence[1:].copy()
            labels[generator.random(length) < 0.2] = -100
            bases = np.repeat(ids % 4, 3).astype(np.uint8)
            classes = np.stack([bases % 3, bases // 2], axis=1).astype(np.int8)
            classes[generator.random(classes.shape) < 0.1] = -1
            signals = np.where(generator.random((len(bases), 2, 6)) < 0.1, 1, -1).astype(np.int8)
            if index == self.poisoned:
                ids[:] = 0
            parts.append((ids, bases, sentence[:-1], labels, classes, signals))
        joined = [np.concatenate(column) for column in zip(*parts, strict=True)]

        def offsets(column: int) -> np.ndarray:
            return np.cumsum([0, *(len(part[column]) for part in parts)])

        return TinyBatch(
            joined[0],
            np.arange(len(joined[0])),
            joined[1],
            joined[2],
            joined[3],
            offsets(0),
            offsets(1),
            offsets(2),
            joined[4],
            joined[5],
            None,
            np.asarray(indices, dtype=np.int64),
        )


class TinyModel(nn.Module):
    """Encoder, base head and decoder of a few linear layers; id 0 in the input makes the loss infinite."""

    def __init__(self, dropout: float = 0.0, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.config = SimpleNamespace(
            loss_weights={"text": 1.0, "class": 1.0, "signal": 0.2, "balance": 0.01, "router_z": 0.001},
            label_smoothing=0.0,
        )
        self.encoder = nn.Sequential(nn.Embedding(VOCABULARY, 16), nn.LayerNorm(16), nn.Dropout(dropout))
        self.base_head = nn.ModuleDict({"classes": nn.Linear(16, 12), "signals": nn.Linear(16, 12)})
        self.decoder = nn.ModuleDict({"embedding": nn.Embedding(VOCABULARY, 16), "head": nn.Linear(16, VOCABULARY)})

    def forward(
        self,
        input_ids,
        positions,
        bases,
        segments,
        decoder_input_ids=None,
        labels=None,
        class_labels=None,
        signal_labels=None,
        tracks=None,
    ):
        states = self.encoder(input_ids)
        states = states + torch.where(input_ids == 0, torch.inf, 0.0)[:, None]
        sums, counts = {}, {}
        if class_labels is not None:
            streams = states.repeat_interleave(3, dim=0)
            logits = self.base_head["classes"](streams).view(-1, 6)
            target = class_labels.long().view(-1)
            sums["class"] = nn.functional.cross_entropy(logits, target, ignore_index=-1, reduction="sum")
            counts["class"] = (target >= 0).sum()
            signal = self.base_head["signals"](streams).view(-1, 2, 6)
            true = signal_labels == 1
            sums["signal"] = nn.functional.softplus(-signal)[true].sum()
            counts["signal"] = true.sum()
        if decoder_input_ids is not None:
            hidden = self.decoder["embedding"](decoder_input_ids)
            logits = self.decoder["head"](hidden)
            sums["text"] = nn.functional.cross_entropy(logits, labels, reduction="sum")
            counts["text"] = (labels != -100).sum()
            sums["balance"] = hidden.square().mean(-1).sum()
            sums["router_z"] = hidden.abs().mean(-1).sum()
            counts["balance"] = counts["router_z"] = torch.tensor(len(labels))
        return SimpleNamespace(loss_sums=sums, loss_counts=counts)


def tiny_trainer(output: Path, model: TinyModel | None = None, training=None, world=None, **options) -> Trainer:
    """A trainer on tiny data that writes the weights as `weights.pt`."""
    model = model or TinyModel()
    output.mkdir(parents=True, exist_ok=True)

    def write_model(directory: Path) -> None:
        torch.save(model.state_dict(), directory / "weights.pt")
        (directory / "config.json").write_text(json.dumps(model.config.loss_weights))

    return Trainer(
        model,
        TinyDataset(23) if training is None else training,
        TinyDataset(5, seed=1),
        TrainingOptions(**({"num_workers": 0, "lr": 1e-2, "max_batch_size": 2, "epochs": 2} | options)),
        output,
        write_model,
        world,
    )


def main() -> int:
    """Run a tiny training under torchrun: OUTPUT, options as JSON, and the step at which rank 1 gets a signal."""
    import os
    import signal
    import sys

    from genet5.train import checkpoint
    from genet5.train.distributed import World
    from genet5.train.trainer import Stopped

    output, options, stop_at = Path(sys.argv[1]), json.loads(sys.argv[2]), int(sys.argv[3])
    torch.set_num_threads(1)
    world = World.from_environment()
    # Different weights at first: the trainer must make them equal.
    model = TinyModel(seed=world.rank)
    state = None
    if (output / "last").exists():
        state = checkpoint.load_state(output / "last")
        model.load_state_dict(torch.load(output / "last" / "weights.pt"))
    trainer = tiny_trainer(output, model, world=world, **options)
    if state:
        trainer.resume(state)
    step = trainer._step

    def interrupted(*arguments):
        if world.rank == 1 and trainer.progress.step == stop_at:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(*arguments)

    trainer._step = interrupted
    try:
        trainer.run()
    except Stopped:
        return 75
    finally:
        torch.save(model.state_dict(), output / f"rank{world.rank}.pt")
        world.close()
        # Threads that outlive the group may abort the process as it ends.
        names = {task.joinpath("comm").read_text().strip() for task in Path("/proc/self/task").iterdir()}
        assert not any("gloo" in name for name in names), names
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
