"""The options of a training run: one definition for the command line, the trainer and `config.toml`."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from genet5.errors import InputError


def _option(default: Any, help: str, *, metavar: str | None = None, choices: tuple[str, ...] | None = None) -> Any:
    return field(default=default, metadata={"help": help, "metavar": metavar, "choices": choices})


@dataclass(frozen=True)
class TrainingOptions:
    """Options of :class:`genet5.train.Trainer`; the help text of each field states its unit and default."""

    epochs: float | None = _option(
        None,
        "passes over the training data, fractions allowed (default: 4; with --time_limit no limit)",
        metavar="N",
    )
    time_limit: float | None = _option(
        None,
        "train for this many minutes, warm-up and decay of the learning rate following the clock (default: no limit)",
        metavar="MINUTES",
    )
    lr: float = _option(1e-4, "highest learning rate (default: 1e-4)", metavar="RATE")
    encoder_lr: float | None = _option(
        None, "highest learning rate of the encoder (default: that of --lr)", metavar="RATE"
    )
    decoder_lr: float | None = _option(
        None, "highest learning rate of compressor, decoder and head (default: that of --lr)", metavar="RATE"
    )
    token_budget: int = _option(
        45500, "label tokens a batch at most; batch sizes vary to fit (default: 45500)", metavar="TOKENS"
    )
    max_batch_size: int = _option(1, "packs a batch at most (default: 1)", metavar="N")
    grad_accum: int = _option(
        1, "batches whose gradients make one optimiser step, on each process (default: 1)", metavar="N"
    )
    weight_decay: float = _option(
        0.01, "decoupled weight decay of matrices; norms and biases have none (default: 0.01)", metavar="X"
    )
    warmup_ratio: float = _option(
        0.03, "share of the run in which the learning rate rises, 0 to 1 (default: 0.03)", metavar="SHARE"
    )
    max_grad_norm: float = _option(
        1.0, "gradients are scaled down to this norm; 0 leaves them as they are (default: 1.0)", metavar="NORM"
    )
    label_smoothing: float = _option(
        0.0,
        "probability taken from the right token and spread over all, 0 to 1, in training only (default: 0)",
        metavar="P",
    )
    text_weight: float = _option(
        1.0,
        "weight of the decoder's loss; 0 leaves compressor and decoder untrained and unused (default: 1)",
        metavar="X",
    )
    base_weight: float = _option(1.0, "weight of the base head's losses (default: 1)", metavar="X")
    intron_weight: float = _option(
        0.0,
        "weight of introns' bases and splice sites in the base head's losses; 0 makes up for rare introns: the square "
        "root of genes by introns in the training data, from 1 to 5 (default: 0)",
        metavar="X",
    )
    text_every: int = _option(
        1, "train the decoder's loss only in every N-th optimiser step, to save time on a CPU (default: 1)", metavar="N"
    )
    freeze_encoder: bool = _option(False, "leave the encoder's weights as they are (default: train them)")
    early_stopping: int = _option(
        0,
        "stop after this many evaluations in a row without a lower validation loss; 0 never (default: 0)",
        metavar="N",
    )
    save_steps: int = _option(
        0,
        "evaluate and save every N optimiser steps, and after each epoch; 0 after epochs only (default: 0)",
        metavar="N",
    )
    empty_cache_steps: int = _option(
        0, "give unused GPU memory back every N optimiser steps; 0 never (default: 0)", metavar="N"
    )
    compile: bool = _option(False, "torch.compile encoder, base head, compressor and decoder (default: off)")
    precision: str = _option(
        "auto",
        "arithmetic: bf16 (weights stay fp32) or fp32 (default: auto: bf16 on a GPU, fp32 on a CPU)",
        choices=("auto", "bf16", "fp32"),
    )
    mxfp8: bool = _option(False, "MXFP8 matrix products in the linear layers; Blackwell GPUs only (default: off)")
    optim_8bit: bool = _option(False, "AdamW with 8-bit states, from bitsandbytes (default: 32-bit states)")
    memwatch: bool = _option(
        False, "write memwatch.csv: memory every 5 s for the first 10 minutes, then every 30 s (default: off)"
    )
    log_every_pct: float = _option(
        5.0, "log every N per cent of an epoch, or of --time_limit (default: 5)", metavar="N"
    )
    num_workers: int = _option(
        1, "threads that prepare batches ahead; 0 prepares them when they are needed (default: 1)", metavar="N"
    )
    seed: int = _option(0, "seed of batch order, dropout and noise (default: 0)", metavar="N")
    fit_genes: bool = _option(
        True, "fit the weights of the gene-finding program on the validation data at the end (default: on)"
    )

    @property
    def epoch_limit(self) -> float:
        """Passes over the data, infinite where only time limits the run."""
        if self.epochs is not None:
            return self.epochs
        return float("inf") if self.time_limit is not None else 4.0

    def validate(self) -> None:
        """Raise :class:`InputError` for the first value that is out of its range."""
        rules: list[tuple[str, bool, str]] = [
            ("epochs", self.epochs is None or self.epochs > 0, "more than 0"),
            ("time_limit", self.time_limit is None or self.time_limit > 0, "more than 0 minutes"),
            ("lr", self.lr > 0, "more than 0"),
            ("encoder_lr", self.encoder_lr is None or self.encoder_lr > 0, "more than 0 (or use --freeze_encoder)"),
            ("decoder_lr", self.decoder_lr is None or self.decoder_lr > 0, "more than 0 (or use --text_weight 0)"),
            ("token_budget", self.token_budget > 0, "at least 1"),
            ("max_batch_size", self.max_batch_size > 0, "at least 1"),
            ("grad_accum", self.grad_accum > 0, "at least 1"),
            ("weight_decay", self.weight_decay >= 0, "0 or more"),
            ("warmup_ratio", 0 <= self.warmup_ratio < 1, "from 0 to less than 1"),
            ("max_grad_norm", self.max_grad_norm >= 0, "0 or more"),
            ("label_smoothing", 0 <= self.label_smoothing < 1, "from 0 to less than 1"),
            ("text_weight", self.text_weight >= 0, "0 or more"),
            ("base_weight", self.base_weight >= 0, "0 or more"),
            ("intron_weight", self.intron_weight >= 0, "0 or more"),
            ("text_every", self.text_every > 0, "at least 1"),
            ("early_stopping", self.early_stopping >= 0, "0 or more"),
            ("save_steps", self.save_steps >= 0, "0 or more"),
            ("empty_cache_steps", self.empty_cache_steps >= 0, "0 or more"),
            ("log_every_pct", 0 < self.log_every_pct <= 100, "more than 0 and at most 100"),
            ("num_workers", self.num_workers >= 0, "0 or more"),
            ("seed", 0 <= self.seed < 2**63, "from 0 to 2^63 - 1"),
        ]
        for name, holds, range_ in rules:
            if not holds:
                raise InputError(f"--{name} {getattr(self, name)} is out of range: it must be {range_}")
        if self.text_weight == 0 and self.base_weight == 0:
            raise InputError("--text_weight 0 and --base_weight 0 leave nothing to train: make one of them positive")
        if self.base_weight == 0 and self.text_every > 1:
            raise InputError(
                "--text_every leaves steps without any loss where --base_weight is 0: give only one of them"
            )

    def as_dict(self) -> dict[str, Any]:
        """Fields and values."""
        return dataclasses.asdict(self)
