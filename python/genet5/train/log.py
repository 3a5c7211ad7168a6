"""What a run tells: `training_log.csv`, lines on the terminal or in a log file, and a rate with an ETA."""

from __future__ import annotations

import csv
import sys
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TextIO

from genet5.train.losses import PARTS

FIELDS = (
    "time",
    "event",
    "epoch",
    "step",
    "done",
    "lr",
    "loss",
    *(f"{part}_loss" for part in PARTS),
    "grad_norm",
    "tokens_per_s",
    "bases_per_s",
    "expert_load_max",
    "expert_load_min",
    "router_entropy",
    "best",
)


class TrainingLog:
    """A CSV file with one row a log event; rows are appended and flushed."""

    def __init__(self, path: Path) -> None:
        new = not path.exists() or path.stat().st_size == 0
        if not new:
            with path.open(newline="") as file:
                header = next(csv.reader(file), [])
            if tuple(header) != FIELDS:
                # Another version's columns: keep its file, and begin a new one.
                path.rename(path.with_name(f"{path.stem}.{int(time.time())}{path.suffix}"))
                new = True
        self._file = path.open("a", newline="")
        self._writer = csv.DictWriter(self._file, FIELDS)
        if new:
            self._writer.writeheader()
            self._flush()

    def write(self, row: Mapping[str, object]) -> None:
        """Append a row; numbers with six significant digits."""
        now = datetime.now().astimezone().isoformat(timespec="seconds")
        cells = {key: f"{value:.6g}" if isinstance(value, float) else value for key, value in row.items()}
        self._writer.writerow({"time": now, **cells})
        self._flush()

    def _flush(self) -> None:
        try:
            self._file.flush()
        except OSError as error:
            raise OSError(error.errno, error.strerror, self._file.name) from error

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def duration(seconds: float) -> str:
    """`1:02:03`, or `2:03` under an hour."""
    whole = round(seconds)
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


def quantity(value: float) -> str:
    """`950`, `12.3k`, `4.56M`: three digits and a unit."""
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.3g}{unit}"
    return f"{value:.3g}"


class Console:
    """Plain lines; on a terminal, also a status line that is replaced in place. Silent where it is not `active`."""

    def __init__(self, active: bool = True, stream: TextIO | None = None) -> None:
        self.active = active
        self.stream = stream or sys.stdout
        self.live = active and self.stream.isatty()
        self._width = 0
        self._last = 0.0

    def line(self, text: str) -> None:
        """Print a line."""
        if self.active:
            self.clear()
            print(text, file=self.stream, flush=True)

    def status_due(self) -> bool:
        """Whether a status line is shown, and the last one is older than half a second."""
        return self.live and time.monotonic() - self._last > 0.5

    def status(self, text: str) -> None:
        """Replace the status line of a terminal."""
        self._last = time.monotonic()
        self.stream.write("\r" + text.ljust(self._width))
        self._width = len(text)
        self.stream.flush()

    def clear(self) -> None:
        """Wipe the status line."""
        if self._width:
            self.stream.write("\r" + " " * self._width + "\r")
            self._width = 0
