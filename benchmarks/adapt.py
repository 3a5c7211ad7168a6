"""Prokaryote genes with and without adaptation to the genome, beside pyrodigal in the same run.

    python benchmarks/adapt.py --model RUN [--adapt_minutes 2] [GENOME ...]

RUN is a model that has seen none of the genomes named (by default E. coli and A. pernix). Pyrodigal, too, trains itself
on each genome.

Data: GENET5_DATA, by default ../shared/data beside the checkout: `genomes/GENOME` with genome.fna.gz, genes.gff3.gz and
verified_starts.gff3.gz.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from genet5._core import Annotation, Genome, compare

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("GENET5_DATA", ROOT.parent / "shared" / "data")) / "genomes"
GENOMES = ("ecoli_k12_mg1655", "aeropyrum_pernix_k1")


def places(annotation):
    return {
        (gene.seqid, gene.strand, *part)
        for gene in annotation.genes
        for transcript in gene.transcripts
        for part in [(transcript.cds[0][0], transcript.cds[-1][1])]
    }


def row(name, seconds, bases, predicted, reference, verified):
    levels = compare(predicted, reference)
    found = len(places(verified) & places(predicted))
    figures = [levels[level][kind] for level, kind in (("stop", "sn"), ("stop", "pr"), ("stop", "f1"), ("gene", "f1"))]
    share = 100 * found / len(places(verified))
    print(
        f"| {name} | "
        + " | ".join(f"{figure:.2f}" for figure in figures)
        + f" | {share:.2f} ({found} of {len(places(verified))}) | {len(predicted):,} | {bases / seconds / 1e3:.0f} |",
        flush=True,
    )


def pyrodigal(genome, out):
    import pyrodigal

    sequences = [genome.sequence(seqid) for seqid in genome.ids]
    finder = pyrodigal.GeneFinder()
    finder.train(*sequences)
    with out.open("w") as file:
        file.write("##gff-version 3\n")
        for seqid, sequence in zip(genome.ids, sequences, strict=True):
            for number, gene in enumerate(finder.find_genes(sequence)):
                strand = "+" if gene.strand > 0 else "-"
                for kind, attributes in (("gene", f"ID={seqid}.{number}"), ("CDS", f"Parent={seqid}.{number}")):
                    phase = "." if kind == "gene" else "0"
                    file.write(f"{seqid}\tp\t{kind}\t{gene.begin}\t{gene.end}\t.\t{strand}\t{phase}\t{attributes}\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("genomes", nargs="*", default=GENOMES)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--adapt_minutes", default="2")
    options = parser.parse_args()
    for name in options.genomes:
        folder = DATA / name
        genome = Genome.read(folder / "genome.fna.gz")
        reference = Annotation.read(folder / "genes.gff3.gz")
        verified = Annotation.read(folder / "verified_starts.gff3.gz")
        bases = sum(genome.lengths)
        circular = [word for seqid in genome.ids for word in ("--circular", seqid)]
        print(f"\n{name}, {bases:,} bp\n")
        print("| | 3' Sn | 3' Pr | 3' F1 | exact F1 | verified starts | genes | kb/s |")
        print("| --- |" + " ---: |" * 7)
        with tempfile.TemporaryDirectory() as scratch:
            out = Path(scratch) / "p.gff3"
            begin = time.perf_counter()
            pyrodigal(genome, out)
            row("pyrodigal", time.perf_counter() - begin, bases, Annotation.read(out), reference, verified)
            for title, flags in (
                ("GeneT5", []),
                ("GeneT5, adapted, no training", ["--adapt", "--adapt_minutes", "0"]),
                ("GeneT5, adapted", ["--adapt", "--adapt_minutes", options.adapt_minutes]),
            ):
                command = [sys.executable, "-m", "genet5.cli.main", "predict", folder / "genome.fna.gz", *circular]
                begin = time.perf_counter()
                done = subprocess.run(
                    [*command, "--model", options.model, "--output", out, *flags], capture_output=True, text=True
                )
                if done.returncode:
                    sys.exit(done.stderr)
                row(title, time.perf_counter() - begin, bases, Annotation.read(out), reference, verified)


if __name__ == "__main__":
    main()
