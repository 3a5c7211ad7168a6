"""A small model of the real kind on a real genome (Mycoplasma genitalium), from the command line."""

import csv
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from genet5.cli.main import run_command
from genet5.data import PackedDataset
from genet5.model import GeneT5ForConditionalGeneration
from genet5.train import fit_genes
from genet5.train.checkpoint import load_state
from genet5.train.loader import load
from genet5.train.losses import batch_counts
from genet5.train.trainer import Trainer

SMALL = ["--head_channels", "32", "--decoder_layers", "1", "--num_experts", "2", "--num_latents", "64"]
QUICK = ["--lr", "3e-3", "--max_batch_size", "1", "--token_budget", "4000"]
SCRIPT = Path(__file__).resolve().parents[2] / "bin" / "distributed.sh"


def rows(run, event):
    with (run / "training_log.csv").open(newline="") as file:
        return [row for row in csv.DictReader(file) if row["event"] == event]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory, data):
    """A folder with `init` (a small model) and `baked` (one bacterium)."""
    folder = tmp_path_factory.mktemp("real")
    species = folder / "raw" / "prokaryotes" / "mycoplasma_genitalium"
    species.mkdir(parents=True)
    for path in (data / "genomes" / "mycoplasma_genitalium_g37").glob("gen*.gz"):
        shutil.copy(path, species)
    model = ["--save_dir", str(folder / "init"), "--preset", "micro", "--taxon", "prokaryotes", *SMALL]
    assert run_command(("init",), model) == 0
    bake = ["--raw_dir", folder / "raw", "--output_dir", folder / "baked", "--tokenizer", folder / "init"]
    assert run_command(("bake",), [*map(str, bake), "--window_size", "10000", "--n_workers", "1"]) == 0
    return folder


def finetune(folder, run, *options):
    baked = folder / "baked"
    paths = [baked / "training.packed", baked / "validation.packed", folder / run, folder / "init"]
    return run_command(("finetune",), [*map(str, paths), *QUICK, *map(str, options)])


def same_weights(first, second):
    models = [GeneT5ForConditionalGeneration.from_pretrained(path).state_dict() for path in (first, second)]
    return all(torch.equal(value, models[1][name]) for name, value in models[0].items())


def test_counts_are_those_of_the_model(prepared):
    """The trainer divides by these before it has seen the model's answer."""
    batch = PackedDataset(prepared / "baked" / "training.packed").batch([0, 3])
    model = GeneT5ForConditionalGeneration.from_pretrained(prepared / "init", dtype=torch.float32)
    with torch.no_grad():
        output = model(**load(batch, pin=False).inputs(torch.device("cpu"), True, True))
    assert {part: int(count) for part, count in output.loss_counts.items()} == batch_counts(batch)
    for with_text, with_bases, parts in (
        (False, True, {"class", "signal"}),
        (True, False, {"text", "balance", "router_z"}),
    ):
        with torch.no_grad():
            output = model(**load(batch, pin=False).inputs(torch.device("cpu"), with_text, with_bases))
        assert set(output.loss_sums) == parts


def test_learns_fits_and_loads(prepared):
    """The loss falls, both checkpoints load, and the program's weights are fitted on the validation regions."""
    assert finetune(prepared, "learned", "--epochs", 0.7, "--log_every_pct", 20, "--memwatch", "--text_every", 2) == 0
    run = prepared / "learned"
    train = rows(run, "train")
    for part in ("class_loss", "signal_loss", "text_loss"):
        assert float(train[-1][part]) < 0.9 * float(train[0][part]), part
    assert 0 < float(train[-1]["router_entropy"]) <= np.log(2) + 1e-6
    assert float(rows(run, "validation")[-1]["class_loss"]) < 1.4
    assert (run / "memwatch.csv").stat().st_size > 0
    for name in ("best", "last"):
        model = GeneT5ForConditionalGeneration.from_pretrained(run / name)
        assert model.dtype == torch.float32
        assert 9_000 < model.config.window_size <= 10_000
        parameters = json.loads((run / name / "gene_parameters.json").read_text())
        assert parameters["fitted"]
        assert parameters["taxon"] == "prokaryotes"
        assert (run / name / "tokenizer.json").read_bytes() == (prepared / "init" / "tokenizer.json").read_bytes()
    tomllib = pytest.importorskip("tomllib" if sys.version_info >= (3, 11) else "tomli")
    config = tomllib.loads((run / "config.toml").read_text())
    assert config["options"]["text_every"] == 2
    assert config["model"]["hidden_size"] == 128

    assert finetune(prepared, "learned") == 1, "a run is not overwritten"
    assert load_state(run / "last")["progress"]["step"] > 20


def test_goes_on_bit_for_bit(prepared, monkeypatch):
    """SIGTERM in the middle of an epoch, exit code 75, `--resume`: the same weights as without."""
    options = ("--epochs", 0.15, "--grad_accum", 2, "--no-fit_genes")
    assert finetune(prepared, "whole", *options) == 0
    assert load_state(prepared / "whole" / "last")["progress"]["step"] >= 3

    forward, calls = Trainer._forward, []

    def interrupted(self, *arguments):
        calls.append(1)
        if len(calls) == 5:
            os.kill(os.getpid(), signal.SIGTERM)
        return forward(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_forward", interrupted)
        assert finetune(prepared, "cut", *options) == 75
    assert load_state(prepared / "cut" / "last")["progress"]["step"] == 2
    assert not (prepared / "cut" / "best").exists()
    assert finetune(prepared, "cut", *options, "--resume") == 0
    assert same_weights(prepared / "whole" / "last", prepared / "cut" / "last")
    assert finetune(prepared, "cut", *options, "--resume", "--seed", 1) == 1


def test_regions_hold_the_genomes_genes(prepared, data):
    """Windows joined again: bases are the genome's, and genes are the annotation's own."""
    from genet5._core import Annotation, Genome

    folder = data / "genomes" / "mycoplasma_genitalium_g37"
    genome = Genome.read(folder / "genome.fna.gz")
    annotation = Annotation.read(folder / "genes.gff3.gz")
    seqid = genome.ids[0]
    sequence = genome.sequence(seqid).upper()
    true = {
        (gene.strand, tuple(gene.transcripts[0].cds))
        for gene in annotation.genes
        if gene.transcripts and gene.transcripts[0].cds
    }
    found = list(fit_genes.regions(PackedDataset(prepared / "baked" / "validation.packed")))
    assert sum(len(region.sequence) for region in found) > 15_000
    for region in found:
        start = sequence.find(bytes(region.sequence))
        assert start >= 0
        assert region.genetic_code == 4
        assert len(region.genes) >= 5
        for strand, chains in region.genes:
            chain = tuple((low + start, high + start) for low, high in chains[0])
            assert (strand, chain) in true


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda paths: paths.__setitem__(0, paths[0].with_name("none.packed")), "none.packed"),
        (lambda paths: paths.__setitem__(3, paths[3].with_name("nomodel")), "nomodel does not exist"),
        (lambda paths: paths.__setitem__(0, paths[3] / "tokenizer.json"), "tokenizer.json"),
        (lambda paths: paths.append("--mxfp8"), "--mxfp8 needs a Blackwell GPU"),
        (lambda paths: paths.extend(["--lr", "0"]), "--lr 0.0 is out of range"),
    ],
)
def test_refusals_are_one_sentence(prepared, capsys, change, message):
    baked = prepared / "baked"
    paths = [baked / "training.packed", baked / "validation.packed", prepared / "refused", prepared / "init"]
    change(paths)
    assert run_command(("finetune",), list(map(str, paths))) == 1
    told = capsys.readouterr().err.strip().splitlines()
    assert [line for line in told if line.startswith("error: ")] == told[-1:]
    assert message in told[-1]
    assert not (prepared / "refused" / "last").exists()


@pytest.mark.long
def test_two_nodes_on_one_machine(prepared):
    """The recipe's script, two nodes on the loopback: the steps of one process with twice the batches."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    baked, options = prepared / "baked", ["--epochs", "0.3", "--no-fit_genes", "--max_grad_norm", "0"]
    paths = [baked / "training.packed", baked / "validation.packed", prepared / "nodes", prepared / "init"]
    nodes = [
        subprocess.Popen(
            [
                *(str(SCRIPT), *map(str, paths), "--nnodes", "2", "--node-rank", str(rank), "--master", "127.0.0.1"),
                *("--master-port", str(port), "--nproc-per-node", "1", *QUICK, *options, "--grad_accum", "2"),
            ],
            env={**os.environ, "PYTHON": sys.executable, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in (0, 1)
    ]
    try:
        told = [node.communicate(timeout=300)[0] for node in nodes]
    finally:
        # A node that fails leaves the other waiting for it.
        for node in nodes:
            node.terminate()
    assert [node.returncode for node in nodes] == [0, 0], told
    assert "2 processes" in told[0]
    assert finetune(prepared, "one", *options, "--grad_accum", 4) == 0
    first, second = (
        GeneT5ForConditionalGeneration.from_pretrained(prepared / run / "last").state_dict() for run in ("nodes", "one")
    )
    for name, value in first.items():
        torch.testing.assert_close(value, second[name], rtol=2e-3, atol=2e-4)
