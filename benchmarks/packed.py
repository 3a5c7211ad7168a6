"""Times packed files: random samples against other formats, copying operations against cp, and planning packs.

    python benchmarks/packed.py FILE.packed [--megabytes 300] [--repeats 5] [--peers arrow,mds,litdata] [--folder /tmp]

FILE is enlarged by merging it with itself. Every format holds the same samples (DNA tokens and sentences, uint16) and
hands out both as int64 tensors, in random order, from the page cache; a peer that is not installed is left out. Peers
are pyarrow 24.0.0, mosaicml-streaming 0.13.0 and litdata 0.2.76; where those would change other packages, they go into
an environment of their own beside this one (`python -m venv --system-site-packages`).
"""

from __future__ import annotations

import argparse
import concurrent.futures
import functools
import importlib.util
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "python"))

BATCH = 64


def timed(work):
    """Wall seconds."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def timed_cpu(work):
    """CPU seconds of all threads: other processes on the machine change them less than the wall clock."""
    begin = time.process_time()
    work()
    return time.process_time() - begin


def rate(name, read, count, batches, repeats):
    """Samples a second of CPU time: median of runs over all batches, each dropped before the next."""

    def epoch():
        for batch in batches:
            read(batch)

    read(batches[0])
    seconds = statistics.median(timed_cpu(epoch) for _ in range(repeats))
    print(f"  {name:<42} {count / seconds:>10,.0f} samples a CPU second")
    return count / seconds


def rate_of_threads(name, read, count, batches, repeats, threads=2):
    """Samples a second of the clock with several threads of one process, each batch dropped where it was read.

    With one thread here, the reader has two of its own.
    """

    def work(batch):
        read(batch)

    def epoch():
        for _ in pool.map(work, batches):
            pass

    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        epoch()
        seconds = statistics.median(timed(epoch) for _ in range(repeats))
    print(f"  {name + ', 2 threads':<42} {count / seconds:>10,.0f} samples a second of the clock")
    return count / seconds


def limit_of_copying(file, order):
    """Samples a second of one core that only widens a sample's DNA tokens from uint16 to int64, in the cache."""
    count = int(file.samples()["tokens"][order].mean())
    source, target = np.zeros(count, np.uint16), np.zeros((BATCH, count), np.int64)

    def widen():
        for row in target:
            np.copyto(row, source)

    widen()
    seconds = statistics.median(timed_cpu(lambda: [widen() for _ in range(50)]) for _ in range(5))
    print(f"  {'limit: numpy widening tokens, used memory':<42} {50 * BATCH / seconds:>10,.0f} samples a CPU second")


def samples_of(file):
    """DNA tokens and sentences of each sample as uint16 arrays."""
    for begin in range(0, len(file), 256):
        batch = file.batch(np.arange(begin, min(begin + 256, len(file)), dtype=np.int64), base_labels=False)
        segments = file.samples()["segments"][begin : begin + 256]
        edges = np.concatenate([[0], np.cumsum(segments)])
        for first, last in itertools.pairwise(edges):
            tokens = slice(batch["token_offsets"][first], batch["token_offsets"][last])
            labels = slice(batch["target_offsets"][first], batch["target_offsets"][last])
            yield batch["input_ids"][tokens].astype(np.uint16), batch["labels"][labels].astype(np.uint16)


def as_tensors(*arrays):
    """int64 tensors that own their memory."""
    import torch

    return [torch.from_numpy(array.astype(np.int64)) for array in arrays]


def arrow_reader(file, folder):
    """Arrow IPC, uncompressed, memory mapped; rows taken in batches."""
    import pyarrow as pa

    path = folder / "samples.arrow"
    schema = pa.schema([("tokens", pa.list_(pa.uint16())), ("labels", pa.list_(pa.uint16()))])
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        held = []
        for number, sample in enumerate(samples_of(file), 1):
            held.append(sample)
            if len(held) == 1000 or number == len(file):
                columns = [pa.array([sample[i] for sample in held], pa.list_(pa.uint16())) for i in (0, 1)]
                writer.write_batch(pa.record_batch(columns, schema=schema))
                held = []
    table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
    tokens, labels = table["tokens"].combine_chunks(), table["labels"].combine_chunks()

    def taken(batch):
        rows = pa.array(batch)
        return as_tensors(*(column.take(rows).flatten().to_numpy(zero_copy_only=True) for column in (tokens, labels)))

    def one_by_one(batch):
        return [as_tensors(tokens[i].values.to_numpy(), labels[i].values.to_numpy()) for i in batch.tolist()]

    return {f"Arrow IPC {pa.__version__}, take": taken, f"Arrow IPC {pa.__version__}, row by row": one_by_one}


def mds_reader(file, folder):
    """mosaicml-streaming's MDS, random access by index."""
    import streaming

    path = folder / "mds"
    columns = {"tokens": "ndarray:uint16", "labels": "ndarray:uint16"}
    with streaming.MDSWriter(out=str(path), columns=columns) as writer:
        for tokens, labels in samples_of(file):
            writer.write({"tokens": tokens, "labels": labels})
    dataset = streaming.LocalDataset(str(path))

    def read(batch):
        rows = [dataset[i] for i in batch.tolist()]
        return [as_tensors(row["tokens"], row["labels"]) for row in rows]

    return {f"mosaicml-streaming {streaming.__version__}": read}


def _litdata_sample(sample):
    return {"tokens": sample[0], "labels": sample[1]}


def litdata_reader(file, folder):
    """litdata, random access by index."""
    import litdata

    path = folder / "litdata"
    litdata.optimize(
        fn=_litdata_sample, inputs=list(samples_of(file)), output_dir=str(path), chunk_bytes="64MB", num_workers=1
    )
    dataset = litdata.StreamingDataset(str(path))

    def read(batch):
        rows = [dataset[i] for i in batch.tolist()]
        return [as_tensors(np.asarray(row["tokens"]), np.asarray(row["labels"])) for row in rows]

    return {f"litdata {litdata.__version__}": read}


PEERS = {
    "arrow": ("pyarrow", arrow_reader),
    "mds": ("streaming", mds_reader),
    "litdata": ("litdata", litdata_reader),
}


def enlarge(source, folder, megabytes):
    """The file merged with itself, shuffled."""
    from genet5._core import PackedFile, merge_packed

    once = PackedFile(source)
    copies = max(1, round(megabytes * 1e6 / once.file_bytes))
    merged = folder / "merged.packed"
    merge_packed([source] * copies, merged)
    PackedFile(merged).shuffle(folder / "training.packed")
    merged.unlink()
    return folder / "training.packed"


def random_samples(path, folder, repeats, peers):
    """Random samples from our file and from the peers'."""
    import torch

    from genet5.data import PackedDataset

    dataset = PackedDataset(path)
    file = dataset.file
    order = np.random.default_rng(0).permutation(len(file))
    batches = [order[i : i + BATCH] for i in range(0, len(order), BATCH)]
    print(f"random samples, batches of {BATCH}, of {len(file):,} ({file.file_bytes / 1e6:,.0f} MB)")

    def ours(batch, **want):
        arrays = file.batch(batch, base_labels=False, **want)
        return {name: torch.from_numpy(array) for name, array in arrays.items() if array is not None}

    best = rate("GeneT5", lambda b: ours(b, bases=False), len(order), batches, repeats)
    limit_of_copying(file, order)
    threaded = max(
        rate_of_threads("GeneT5", lambda b: ours(b, bases=False), len(order), batches, repeats),
        rate_of_threads(
            "GeneT5, in each batch", lambda b: ours(b, bases=False, threads=2), len(order), batches, repeats, 1
        ),
    )
    rate("GeneT5 with positions and bases", ours, len(order), batches, repeats)
    few = batches[: max(1, len(batches) // 10)]
    rate("GeneT5 with labels of every base", lambda b: dataset.batch(b).to_tensors(), len(few) * BATCH, few, repeats)
    figures, threaded_figures = {}, {}
    for name in peers:
        module, make = PEERS[name]
        if importlib.util.find_spec(module) is None:
            print(f"  {name}: {module} is not installed, left out")
            continue
        for label, read in make(file, folder).items():
            some = batches if name == "arrow" else batches[: max(1, len(batches) // 20)]
            figures[label] = rate(label, read, sum(map(len, some)), some, repeats)
            # The others' readers are not made for several threads.
            if name == "arrow":
                threaded_figures[label] = rate_of_threads(label, read, sum(map(len, some)), some, repeats)
    if figures:
        label = max(figures, key=figures.get)
        print(f"  {best / figures[label]:.1f} times the best of the others ({label})")
    if threaded_figures:
        label = max(threaded_figures, key=threaded_figures.get)
        print(f"  {threaded / threaded_figures[label]:.1f} times by the clock with threads ({label})")


def copies(path, folder, repeats):
    """Subset, merge and verify against cp of the same bytes, each with its sync."""
    from genet5._core import PackedFile, merge_packed

    file = PackedFile(path)
    size = file.file_bytes
    target, part = folder / "target.packed", folder / "part.packed"

    def cp(source):
        subprocess.run(["cp", "--reflink=never", source, target], check=True)
        descriptor = os.open(target, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)

    file.subset(part, fraction=0.5, seed=1)
    half = part.stat().st_size
    small = folder / "small.packed"
    file.subset(small, fraction=0.05)
    works = {
        "merge of two halves": (lambda: merge_packed([part, part], target), 2 * half, path),
        "shuffle": (lambda: file.shuffle(target), size, path),
        "subset 5%": (lambda: file.subset(target, fraction=0.05), small.stat().st_size, small),
        "verify (reads only)": (file.verify, size, path),
    }
    print("copying against cp --reflink=never and fsync, MB/s of bytes written (verify: read)")
    for name, (work, count, source) in works.items():
        pairs = []
        for _ in range(repeats):
            target.unlink(missing_ok=True)
            mine = timed(work)
            target.unlink(missing_ok=True)
            pairs.append((count / mine, source.stat().st_size / timed(lambda source=source: cp(source))))
        ours, peer = (statistics.median(pair[i] for pair in pairs) for i in (0, 1))
        ratio = statistics.median(mine / theirs for mine, theirs in pairs)
        print(f"  {name:<22} {ours / 1e6:>8,.0f}   cp {peer / 1e6:>8,.0f}   ratio of neighbours {ratio:.2f}")


def planning(path, repeats):
    """A million windows of the file's own lengths, and of a skewed distribution."""
    from genet5.data import PackedDataset, pack_windows

    generator = np.random.default_rng(0)
    segments = PackedDataset(path).file.segments()
    rows = generator.integers(0, len(segments["tokens"]), 1_000_000)
    skewed = (60 + 2200 * generator.random(1_000_000) ** 2).astype(np.int64)
    labels = (4 + skewed * generator.random(1_000_000) * 2).astype(np.int64)
    for name, tokens, sentences, budgets in [
        ("the file's windows", segments["tokens"][rows], segments["labels"][rows], {}),
        ("skewed lengths", skewed, labels, {}),
        ("skewed lengths, target 5005", skewed, labels, {"target": 5005}),
    ]:
        lists = tokens.tolist(), sentences.tolist()
        work = functools.partial(pack_windows, *lists, **budgets)
        seconds = statistics.median(timed(work) for _ in range(repeats))
        cpu = statistics.median(timed_cpu(work) for _ in range(repeats))
        plan = pack_windows(*lists, **budgets)
        fill = tokens.sum() / plan.count
        print(
            f"  packing {len(tokens):,} windows, {name}: {seconds:.2f} s ({cpu:.2f} CPU), "
            f"{plan.count:,} packs of {fill:,.0f} tokens, "
            f"{plan.count / plan.lower_bound:.4f} of the lower bound ({plan.strategy})"
        )


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--megabytes", type=float, default=300)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--peers", default="arrow,mds,litdata")
    parser.add_argument("--folder", type=Path, help="where the files are made (default: the system's temporary folder)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        path = enlarge(args.file, Path(folder), args.megabytes)
        planning(path, args.repeats)
        copies(path, Path(folder), args.repeats)
        random_samples(path, Path(folder), args.repeats, [name for name in args.peers.split(",") if name])


if __name__ == "__main__":
    main()
