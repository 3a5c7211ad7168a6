"""Hub ids, from a cache laid out as the hub's client lays it out, without a network."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny_models import SIZES, tiny_model

from genet5.model import GeneT5Tokenizer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def put(cache: Path, name: str, files: list[Path]) -> None:
    """Files as the revision `main` of a repository: blobs, a snapshot of links to them, and a reference."""
    folder = cache / "hub" / f"models--{name.replace('/', '--')}"
    snapshot = folder / "snapshots" / COMMIT
    for part in (snapshot, folder / "blobs", folder / "refs"):
        part.mkdir(parents=True)
    (folder / "refs" / "main").write_text(COMMIT)
    for number, file in enumerate(files):
        shutil.copy(file, folder / "blobs" / f"{number:040x}")
        (snapshot / file.name).symlink_to(Path("../../blobs") / f"{number:040x}")


def offline(cache: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Python in a process of its own: the hub's client reads its settings when it is imported."""
    environment = os.environ | {"HF_HOME": str(cache), "HF_HUB_OFFLINE": "1"}
    environment.pop("HF_HUB_CACHE", None)
    command = [sys.executable, *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)


INIT = ["-m", "genet5.cli.main", "init", "--preset", "micro", "--store_dtype", "float32"]
INIT += [f"--{name}={SIZES[name]}" for name in ("num_latents", "decoder_ff_dim", "num_experts", "decoder_layers")]


def test_dnabert2_is_taken_by_its_hub_id(data, tmp_path):
    golden = data / "dnabert2" / "golden" / "small"
    put(tmp_path / "cache", "someone/DNABERT", [golden / "config.json", golden / "pytorch_model.bin"])
    more = ["--decoder_heads=4", "--decoder_kv_heads=2"]
    for source, folder in (("someone/DNABERT", "hub"), (str(golden), "folder")):
        arguments = [*INIT, *more, "--dnabert_path", source, "--save_dir", str(tmp_path / folder)]
        done = offline(tmp_path / "cache", *arguments)
        assert done.returncode == 0, done.stderr
    one, other = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("hub", "folder"))
    assert one == other


def test_what_the_hub_does_not_give_is_one_sentence(tmp_path):
    done = offline(tmp_path / "cache", *INIT, "--dnabert_path", "someone/else", "--save_dir", str(tmp_path / "model"))
    assert done.returncode == 1
    assert "someone/else is no folder, and the hub did not give it" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "model").exists()


def test_a_model_and_its_tokenizer_load_by_hub_id(tmp_path):
    model = tiny_model(dtype=torch.float32)
    model.save_pretrained(tmp_path / "model")
    GeneT5Tokenizer.builtin().save_pretrained(tmp_path / "model")
    put(tmp_path / "cache", "someone/genet5", sorted((tmp_path / "model").iterdir()))
    script = """
import torch
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer
import genet5.model
model = AutoModelForSeq2SeqLM.from_pretrained("someone/genet5")
tokenizer = AutoTokenizer.from_pretrained("someone/genet5")
ids = tokenizer("ACGTTGACCANNACGATTTAGACA", return_tensors="pt").input_ids
print(type(tokenizer).__name__, *model(ids).class_logits.shape, float(model.encoder.norm.weight.sum()))
"""
    done = offline(tmp_path / "cache", "-c", script)
    assert done.returncode == 0, done.stderr
    name, *shape, total = done.stdout.split()
    assert (name, shape) == ("GeneT5Tokenizer", ["1", "24", "2", "6"])
    assert float(total) == pytest.approx(float(model.encoder.norm.weight.sum()))
