"""Memory over time, in a CSV file that a thread of its own writes."""

from __future__ import annotations

import csv
import threading
import time
from datetime import datetime
from pathlib import Path

FIELDS = (
    "time",
    "elapsed_s",
    "rss_mb",
    "mem_available_mb",
    "cached_mb",
    "swap_used_mb",
    "cuda_allocated_mb",
    "cuda_reserved_mb",
)


def _kilobytes(path: str) -> dict[str, int]:
    """`Name: value kB` lines of a file in /proc; empty where there is none (not Linux)."""
    values = {}
    try:
        text = Path(path).read_text()
    except OSError:
        return {}
    for line in text.splitlines():
        name, _, rest = line.partition(":")
        words = rest.split()
        if len(words) == 2 and words[1] == "kB":
            values[name] = int(words[0])
    return values


def measure() -> dict[str, int | str]:
    """One row but for the times, in MiB. On unified memory, MemAvailable is what counts: CUDA calls page cache used."""
    import torch

    memory, process = _kilobytes("/proc/meminfo"), _kilobytes("/proc/self/status")
    cuda = torch.cuda.is_available() and torch.cuda.is_initialized()
    return {
        "rss_mb": process["VmRSS"] // 1024 if "VmRSS" in process else "",
        "mem_available_mb": memory["MemAvailable"] // 1024 if "MemAvailable" in memory else "",
        "cached_mb": memory["Cached"] // 1024 if "Cached" in memory else "",
        "swap_used_mb": (memory["SwapTotal"] - memory["SwapFree"]) // 1024 if "SwapTotal" in memory else "",
        "cuda_allocated_mb": torch.cuda.memory_allocated() >> 20 if cuda else "",
        "cuda_reserved_mb": torch.cuda.memory_reserved() >> 20 if cuda else "",
    }


class MemoryWatch:
    """Context manager that appends a row every `short` seconds for the first `short_for` seconds, then every `long`."""

    def __init__(self, path: Path, short: float = 5.0, long: float = 30.0, short_for: float = 600.0) -> None:
        self.path = path
        self.short, self.long, self.short_for = short, long, short_for
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="memory watch", daemon=True)

    def __enter__(self) -> MemoryWatch:
        new = not self.path.exists() or self.path.stat().st_size == 0
        self._file = self.path.open("a", newline="")
        self._writer = csv.DictWriter(self._file, FIELDS)
        if new:
            self._writer.writeheader()
        self._began = time.monotonic()
        self._thread.start()
        return self

    def _row(self) -> None:
        elapsed = time.monotonic() - self._began
        now = datetime.now().astimezone().isoformat(timespec="seconds")
        self._writer.writerow({"time": now, "elapsed_s": f"{elapsed:.1f}", **measure()})
        self._file.flush()

    def _run(self) -> None:
        while True:
            self._row()
            early = time.monotonic() - self._began < self.short_for
            if self._stop.wait(self.short if early else self.long):
                return

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        self._thread.join()
        self._row()
        self._file.close()
