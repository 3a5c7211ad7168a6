"""`genet5 packed` and `genet5 subset` on a small file: what they print, and one sentence where something is wrong."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from genet5._core import PackedFile
from genet5.cli.main import main

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "data"))


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """A packed file of 40 windows."""
    from packed_windows import grown_tokenizer, make_windows

    from genet5.data import write_packed

    folder = tmp_path_factory.mktemp("packed")
    tokenizer = grown_tokenizer(folder)
    path = folder / "training.packed"
    write_packed(path, make_windows(tokenizer, 40), tokenizer, target=150, hard_limit=200)
    return path


def test_info(packed, capsys):
    assert main(["packed", "info", str(packed)]) == 0
    out = capsys.readouterr().out
    assert f"{len(PackedFile(packed))} of 40 windows" in out
    assert "species 0, species 1" in out


def test_verify(packed, tmp_path, capsys):
    assert main(["packed", "verify", str(packed)]) == 0
    assert "all as written" in capsys.readouterr().out
    damaged = bytearray(packed.read_bytes())
    damaged[len(damaged) // 3 * 2] ^= 1
    (tmp_path / "damaged.packed").write_bytes(damaged)
    assert main(["packed", "verify", str(tmp_path / "damaged.packed")]) == 1
    assert "damaged packed file" in capsys.readouterr().err


def test_head_shows_place_dna_sentence_and_genes(packed, capsys):
    count = len(PackedFile(packed))
    assert main(["packed", "head", str(packed), "-n", str(count), "--bases", "0"]) == 0
    out = capsys.readouterr().out
    assert out.count("  window ") == 40
    assert out.count("<bos>") == out.count("<eos>") == 40
    assert "protein_coding CDS" in out
    # Every gene of a sentence is listed: a start codon's word for each.
    assert out.count("protein_coding CDS") == out.count("<protein_coding>")
    assert main(["packed", "head", str(packed), "--sample", str(count)]) == 1
    assert "counted from 0" in capsys.readouterr().err


def test_head_shows_tracks(tmp_path, capsys):
    from packed_windows import grown_tokenizer, make_windows

    from genet5.data import write_packed

    tokenizer = grown_tokenizer(tmp_path)
    write_packed(
        tmp_path / "x.packed", make_windows(tokenizer, 3, tracks=True), tokenizer, target=9_000, hard_limit=9_000
    )
    assert main(["packed", "head", str(tmp_path / "x.packed")]) == 0
    shown = [line for line in capsys.readouterr().out.splitlines() if line.startswith("    tracks, in tokens: ")]
    file = PackedFile(tmp_path / "x.packed")
    tracks = [track for track in (file.segment(i)["tracks"] for i in range(3)) if track is not None]
    expected = [int((track & 1).sum()) for track in tracks]
    assert len(expected) == 1
    assert [int(line.split()[3].replace(",", "")) for line in shown] == expected


def test_stats_counts_genes_by_species(packed, capsys):
    assert main(["packed", "stats", str(packed)]) == 0
    out = capsys.readouterr().out.splitlines()
    rows = {line[:9]: line.split() for line in out if line.startswith("species ")}
    assert int(rows["species 0"][2]) == int(rows["species 1"][2]) == 20
    genes = sum(int(rows[name][7]) for name in ("species 0", "species 1"))
    coding = next(line for line in out if line.startswith("protein_coding"))
    assert int(coding.split()[1]) == genes


def test_subset_merge_split_and_shuffle(packed, tmp_path, capsys):
    count = len(PackedFile(packed))
    parts = [str(tmp_path / name) for name in ("a.packed", "b.packed")]
    assert main(["packed", "split", str(packed), *parts, "--weights", "3,1"]) == 0
    whole, shuffled = str(tmp_path / "new" / "whole.packed"), str(tmp_path / "shuffled.packed")
    assert main(["packed", "merge", *parts, whole]) == 0
    assert main(["packed", "shuffle", whole, shuffled, "--seed", "3"]) == 0
    assert len(PackedFile(shuffled)) == count
    for command in (["packed", "subset"], ["subset"]):
        part = tmp_path / "5%" / "training.packed"
        assert main([*command, shuffled, str(part), "--fraction", "0.5"]) == 0
        assert len(PackedFile(part)) == round(count / 2)
    assert main(["packed", "verify", whole, shuffled, str(part)]) == 0
    capsys.readouterr()
    assert main(["packed", "info", str(part)]) == 0
    history = [line.split(maxsplit=1)[1] for line in capsys.readouterr().out.splitlines() if "  history " in line]
    kept = f"subset: {round(count / 2)} samples of {count} (seed 0)"
    assert history == ["split: part 1 of 2 (seed 0)", "split: part 2 of 2 (seed 0)", "shuffle (seed 3)", kept]


@pytest.mark.parametrize(
    "arguments",
    [
        ["subset", "FILE", "OUT", "--fraction", "1.5"],
        ["subset", "FILE", "OUT", "--count", "100000"],
        ["subset", "FILE", "OUT", "--count", "-1"],
        ["subset", "FILE", "OUT", "--fraction", "0.5", "--seed", "-1"],
        ["subset", "ABSENT", "OUT", "--fraction", "0.5"],
        ["packed", "split", "FILE", "OUT"],
        ["packed", "split", "FILE", "OUT", "OUT"],
        ["packed", "split", "FILE", "OUT", "OUT2", "--weights", "1,x"],
        ["packed", "split", "FILE", "OUT", "OUT2", "--weights", "1,0"],
        ["packed", "merge", "FILE", "ABSENT", "OUT"],
        ["packed", "info", "ABSENT"],
    ],
)
def test_bad_input_is_one_sentence_and_writes_nothing(packed, tmp_path, capsys, arguments):
    names = {"FILE": packed, **{name: tmp_path / name for name in ("OUT", "OUT2", "ABSENT")}}
    assert main([str(names.get(argument, argument)) for argument in arguments]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["packed", "merge", "A", "B"],
        ["packed", "merge", "A", "B", "LINK"],
        ["packed", "shuffle", "A", "A"],
        ["packed", "shuffle", "A", "LINK"],
        ["packed", "split", "A", "NEW", "LINK"],
        ["subset", "A", "A", "--fraction", "0.5"],
    ],
)
def test_no_input_is_ever_replaced(packed, tmp_path, capsys, arguments):
    for name in ("A", "B"):
        (tmp_path / name).write_bytes(packed.read_bytes())
    (tmp_path / "LINK").symlink_to(tmp_path / "A")
    assert main([str(tmp_path / one) if one.isupper() else one for one in arguments]) == 1
    assert "name another" in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} == {"A", "B", "LINK"}
    assert (tmp_path / "A").read_bytes() == (tmp_path / "B").read_bytes() == packed.read_bytes()


def test_output_into_a_closed_pipe_is_no_error(packed):
    command = f"{sys.executable} {ROOT / 'bin' / 'subset_packed'} --help | head -1"
    assert subprocess.run(command, shell=True, capture_output=True, text=True, check=False).stderr == ""
