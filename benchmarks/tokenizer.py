"""Times tokenisation of a genome's windows against Hugging Face tokenizers on the same input, and compares the ids.

    python benchmarks/tokenizer.py GENOME.fna.gz [--repeats 5] [--window 10000]

Windows of the whole genome in upper case. Printed are medians in MB of bases a second, by the wall clock and by the CPU
time of all threads (which other processes on the machine change less). Hugging Face runs `encode_batch` and
`encode_batch_fast`, and the better one counts.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "python"))


def windows(path, size):
    """Windows of every sequence, side by side."""
    found, lines = [], []

    def cut():
        sequence = "".join(lines)
        found.extend(sequence[i : i + size] for i in range(0, len(sequence), size))
        lines.clear()

    with (gzip.open if path.suffix == ".gz" else open)(path, "rt") as file:
        for line in file:
            if line.startswith(">"):
                cut()
            else:
                lines.append(line.strip().upper())
    cut()
    return found


def medians(work, repeats):
    """Median wall seconds and CPU seconds of all threads."""
    walls, cpus = [], []
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return statistics.median(walls), statistics.median(cpus)


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("genome", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--window", type=int, default=10_000)
    args = parser.parse_args()
    import numpy as np
    import tokenizers

    from genet5.tokenize import append_tokens, builtin_tokens, default_tokenizer, load_tokenizer

    with tempfile.TemporaryDirectory() as folder:
        path = shutil.copy(default_tokenizer().path, folder)
        append_tokens(path, builtin_tokens())
        begin = time.perf_counter()
        ours = load_tokenizer(path)
        print(f"load {1000 * (time.perf_counter() - begin):.0f} ms; linear encoder: {ours.is_linear}")
        theirs = tokenizers.Tokenizer.from_file(path)
    texts = windows(args.genome, args.window)
    sequences = [text.encode() for text in texts]
    bases, cores = sum(map(len, sequences)), os.cpu_count()
    ids, offsets = ours.encode_batch(sequences, threads=cores)
    different = 0
    for begin in range(0, len(texts), 100):
        for number, one in enumerate(theirs.encode_batch(texts[begin : begin + 100], add_special_tokens=False), begin):
            different += not np.array_equal(ids[offsets[number] : offsets[number + 1]], one.ids)
    print(f"{len(texts):,} windows, {bases / 1e6:.1f} Mb, {len(ids):,} tokens; windows with other ids: {different}")
    wall, cpu = min(
        medians(lambda call=call: call(texts, add_special_tokens=False), args.repeats)
        for call in (theirs.encode_batch, theirs.encode_batch_fast)
    )
    print(
        f"Hugging Face tokenizers {tokenizers.__version__}, {cores} cores: {bases / wall / 1e6:.2f} MB/s, "
        f"{bases / cpu / 1e6:.2f} MB a CPU second"
    )
    whole = b"".join(itertools.islice(sequences, 100))
    for name, work, count in [
        ("one thread", lambda: ours.encode_batch(sequences, threads=1), bases),
        (f"{cores} threads", lambda: ours.encode_batch(sequences, threads=cores), bases),
        (f"one sequence of {len(whole) / 1e6:.1f} Mb", lambda: ours.encode(whole), len(whole)),
    ]:
        own_wall, own_cpu = medians(work, args.repeats)
        faster, cheaper = count / own_wall / (bases / wall), count / own_cpu / (bases / cpu)
        print(
            f"GeneT5, {name}: {count / own_wall / 1e6:.1f} MB/s ({faster:.1f} times), "
            f"{count / own_cpu / 1e6:.1f} MB a CPU second ({cheaper:.1f} times)"
        )


if __name__ == "__main__":
    main()
