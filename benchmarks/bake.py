"""Times the bake: against the plain Python version on the same input, and how time and memory grow with the genome.

    python benchmarks/bake.py DATA --tokenizer PATH [--sizes 1,12,120] [--repeats 5] [--peer]

DATA is the folder of real genomes (`genomes/` below it). Sizes are in Mb; 12 is yeast, others are yeast cut short or
joined with itself under new names. Every run is a process of its own; printed are medians and the peak memory.
"""

from __future__ import annotations

import argparse
import gzip
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
GENOME = "saccharomyces_cerevisiae_ncbi"


def measure(command, environment):
    """Wall seconds, CPU seconds and peak memory in MB of a process."""
    start = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    error = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{error.decode()}")
    return time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1000


def median(command, environment, repeats):
    runs = [measure(command, environment) for _ in range(repeats)]
    return tuple(statistics.median(run[i] for run in runs) for i in range(3))


def make_input(data, folder, megabases, compress):
    """Yeast of about that size: its first sequences, or itself several times under other names."""
    source = data / "genomes" / GENOME
    fasta = gzip.decompress((source / "genome.fna.gz").read_bytes()).decode()
    gff = gzip.decompress((source / "genes.gff3.gz").read_bytes()).decode()
    records = [">" + record for record in fasta.split(">")[1:]]
    copies = max(1, round(megabases / 12))
    wanted, kept, seqids = megabases * 1_000_000, [], set()
    for record in records:
        if copies > 1 or megabases >= 12 or sum(map(len, kept)) < wanted:
            kept.append(record)
            seqids.add(record[1:].split()[0])
    rows = [row for row in gff.splitlines() if not row.startswith("#") and row.split("\t")[0] in seqids]
    folder.mkdir(parents=True)
    suffix = ".gz" if compress else ""

    def opened(path):
        return gzip.open(path, "wt", compresslevel=6) if compress else path.open("w")

    with opened(folder / f"genome.fna{suffix}") as out:
        for copy in range(copies):
            for record in kept:
                out.write(re.sub(r"^>(\S+)", rf">\g<1>_{copy}", record))
    with opened(folder / f"genes.gff3{suffix}") as out:
        out.write("##gff-version 3\n")
        for copy in range(copies):
            for row in rows:
                seqid, rest = row.split("\t", 1)
                rest = re.sub(r"((?:ID|Parent)=)([^;]+)", rf"\g<1>{copy}_\g<2>", rest)
                out.write(f"{seqid}_{copy}\t{rest}\n")
    return folder


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--tokenizer", type=Path, required=True, help="tokenizer.json with the tokens of the language")
    parser.add_argument("--sizes", default="1,12,120", help="Mb, separated by commas")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--peer", action="store_true", help="time the plain Python version too")
    parser.add_argument("--plain", action="store_true", help="input without compression")
    options = parser.parse_args()
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "python")}
    print("| Mb | version | s (median) | CPU s | Mb/s | peak MB | ratio |")
    print("| ---: | --- | ---: | ---: | ---: | ---: | ---: |")
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        for size in map(float, options.sizes.split(",")):
            raw = scratch / f"raw{size:g}"
            folder = make_input(options.data, raw / "saccharomyces_cerevisiae", size, not options.plain)
            genome, annotation = sorted(folder.glob("genome*"))[0], sorted(folder.glob("genes*"))[0]
            output = scratch / "out"
            ours = [
                *(sys.executable, ROOT / "bin" / "bake_data", "--raw_dir", raw, "--output_dir", output),
                *("--tokenizer", options.tokenizer, "--window_size", "10000", "--n_workers", str(options.workers)),
            ]
            peer_seconds = None
            if options.peer:
                peer = [sys.executable, ROOT / "benchmarks" / "peers" / "plain_bake.py", genome, annotation]
                peer += [options.tokenizer, scratch / "plain"]
                wall, cpu, memory = median(peer, environment, options.repeats)
                peer_seconds = wall
                print(f"| {size:g} | plain Python | {wall:.2f} | {cpu:.2f} | {size / wall:.2f} | {memory:.0f} | 1 |")
            wall, cpu, memory = median(ours, environment, options.repeats)
            ratio = f"{peer_seconds / wall:.1f}" if peer_seconds else ""
            print(
                f"| {size:g} | genet5 bake | {wall:.3f} | {cpu:.3f} | {size / wall:.1f} | {memory:.0f} | {ratio} |",
                flush=True,
            )
            shutil.rmtree(output)
            shutil.rmtree(raw)


if __name__ == "__main__":
    main()
