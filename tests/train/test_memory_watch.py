"""The memory log has a row at each interval, sparser after the first minutes, and goes on in the same file."""

import csv
import time

from genet5.train.memory_watch import FIELDS, MemoryWatch


def read(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_rows_and_intervals(tmp_path):
    path = tmp_path / "memwatch.csv"
    with MemoryWatch(path, short=0.05, long=60.0, short_for=0.2):
        time.sleep(0.6)
    rows = read(path)
    assert tuple(rows[0]) == FIELDS
    # Some every 0.05 s for 0.2 s, then none until the last one at the end.
    assert 3 <= len(rows) <= 7
    assert float(rows[-1]["elapsed_s"]) >= 0.6
    assert float(rows[-2]["elapsed_s"]) <= 0.4
    assert 10 < int(rows[0]["rss_mb"]) < int(rows[0]["mem_available_mb"]) + 10**6
    with MemoryWatch(path):
        pass
    assert len(read(path)) == len(rows) + 2
