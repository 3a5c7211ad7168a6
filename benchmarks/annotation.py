"""Times the reading of annotation against other programs, whole process, on one file.

    python benchmarks/annotation.py DATA [--megabytes 200] [--repeats 5] [--gffutils]

DATA is the folder of real genomes (`genomes/` below it). The file is C. elegans chromosome I of Ensembl, repeated under
other names to the size. Printed are medians of wall and CPU seconds, MB/s of each, and peak memory; of GeneT5 on one
thread and on all cores, reading alone and writing as well. gffread, with the same content, always writes. gffutils
reads a twentieth of the file.
"""

from __future__ import annotations

import argparse
import gzip
import importlib.util
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

READ = (
    "import sys; from genet5._core import Annotation; threads = int(sys.argv[1]) or None;"
    " a = Annotation.read(sys.argv[2], threads=threads); print(len(a))"
)
WRITE = READ + "; a.write_gff3(sys.argv[3], threads=threads)"
POLARS_BIO = "import sys, polars_bio as pb; print(pb.scan_gff(sys.argv[1]).collect().height)"
OXBOW = "import sys, oxbow as ox; print(ox.from_gff(sys.argv[1]).pl().height)"
GFFUTILS = "import sys, gffutils; gffutils.create_db(sys.argv[1], ':memory:', merge_strategy='create_unique')"


def make_input(data: Path, path: Path, megabytes: float) -> None:
    """The chromosome's rows, repeated under other sequence names and ids."""
    text = gzip.decompress((data / "genomes" / "celegans_chrI_ensembl" / "genes.gff3.gz").read_bytes())
    rows = b"\n".join(line for line in text.split(b"\n") if line and not line.startswith(b"#")) + b"\n"
    ids = re.compile(rb"(\tID=|;ID=|Parent=)")
    with path.open("wb") as out:
        out.write(b"##gff-version 3\n")
        copy = 0
        while out.tell() < megabytes * 1e6:
            copy += 1
            renamed = ids.sub(rb"\1c%d_" % copy, rows)
            out.write(re.sub(rb"(?m)^I\t", b"I_%d\t" % copy, renamed))


def measure(command: list[str]) -> tuple[float, float, float]:
    """Wall seconds, CPU seconds and peak memory in MB of a process."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "python")}
    start = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    error = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{command[0]} failed:\n{error.decode()[-2000:]}")
    return time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--megabytes", type=float, default=200)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--gffutils", action="store_true", help="time gffutils too (a minute and more)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path, out, small = (str(Path(folder) / name) for name in ("in.gff3", "out.gff3", "small.gff3"))
        make_input(arguments.data, Path(path), arguments.megabytes)
        make_input(arguments.data, Path(small), arguments.megabytes / 20)
        python = sys.executable
        runs = {
            f"GeneT5, gene models{of}{name}": ([python, "-c", code, threads, path, out], path, arguments.repeats)
            for threads, of in (("1", ", one thread"), ("0", ", all cores"))
            for code, name in ((READ, ""), (WRITE, ", written"))
        }
        if shutil.which("gffread"):
            # -F keeps the attributes: names and biotypes are part of a gene model.
            full = ["gffread", "--keep-genes", "-F", "-o", out, path]
            runs["gffread --keep-genes -F -o"] = (full, path, arguments.repeats)
            runs["gffread -o"] = (["gffread", "-o", out, path], path, arguments.repeats)
        for name, module, code in (
            ("polars-bio, records", "polars_bio", POLARS_BIO),
            ("oxbow, records", "oxbow", OXBOW),
        ):
            if importlib.util.find_spec(module):
                runs[name] = ([python, "-c", code, path], path, arguments.repeats)
        if arguments.gffutils:
            runs["gffutils create_db(':memory:')"] = ([python, "-c", GFFUTILS, small], small, 1)
        print(f"{'':<44} {'wall s':>8} {'CPU s':>8} {'MB/s':>8} {'MB/CPU s':>9} {'peak MB':>8}")
        # One run of each after another, so that all meet the same load.
        times: dict[str, list[tuple[float, float, float]]] = {name: [] for name in runs}
        for turn in range(arguments.repeats):
            for name, (command, _, repeats) in runs.items():
                if turn < repeats:
                    times[name].append(measure(command))
        for name, (_, file, _) in runs.items():
            wall, cpu, memory = (statistics.median(column) for column in zip(*times[name], strict=True))
            size = Path(file).stat().st_size / 1e6
            print(f"{name:<44} {wall:>8.2f} {cpu:>8.2f} {size / wall:>8.0f} {size / cpu:>9.0f} {memory:>8.0f}")


if __name__ == "__main__":
    main()
