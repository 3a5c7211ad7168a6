"""The BUSCO command: what it passes on, and what it says where BUSCO is missing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from genet5.errors import InputError
from genet5.evaluate.busco import BuscoResult, parse_summary

# The form of BUSCO 5's and of BUSCO 6's line.
LINES = ["\tC:98.5%[S:97.0%,D:1.5%],F:0.5%,M:1.0%,n:255\t   ", "C:98.5%[S:97.0%,D:1.5%],F:0.5%,M:1.0%,E:2.0%,n:255"]


@pytest.mark.parametrize("line", LINES)
def test_summary(line):
    assert parse_summary(f"# BUSCO version is: 5.4.4\n\n{line}\n") == BuscoResult(98.5, 97.0, 1.5, 0.5, 1.0, 255)


def test_summary_without_figures():
    with pytest.raises(InputError, match="no line like"):
        parse_summary("nothing")


def command(arguments, path):
    return subprocess.run(
        [sys.executable, "-m", "genet5.cli.main", "eval", "busco", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PATH": str(path)},
    )


def test_without_busco(tmp_path):
    (tmp_path / "p.fa").write_text(">a\nMK\n")
    done = command(["--predictions", tmp_path / "p.fa", "--lineage", "fungi_odb10"], tmp_path)
    assert done.returncode == 1
    assert "conda install -c bioconda busco" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.fixture
def busco(tmp_path: Path) -> Path:
    """A folder with a `busco` that stands in for the program: it checks its input and writes a summary."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "busco"
    program.write_text(
        f"#!{sys.executable}\n"
        "import pathlib, sys\n"
        "a = dict(zip(sys.argv[1::2], sys.argv[2::2]))\n"
        "text = pathlib.Path(a['-i']).read_text()\n"
        "if a['-l'] == 'bad' or '*' in text: sys.exit('the lineage bad is unknown')\n"
        "run = pathlib.Path(a['--out_path']) / a['-o']; run.mkdir()\n"
        "n = text.count('>')\n"
        "line = f'C:100.0%[S:100.0%,D:0.0%],F:0.0%,M:0.0%,n:{n}'\n"
        "(run / 'short_summary.specific.txt').write_text(line)\n"
    )
    program.chmod(0o755)
    return folder


def test_passes_proteins_on(tmp_path, busco):
    genome, genes = tmp_path / "g.fa", tmp_path / "g.gff3"
    genome.write_text(">c\nCCATGAAATAGCC\n")
    genes.write_text("##gff-version 3\nc\tx\tCDS\t3\t11\t.\t+\t0\tID=a\n")
    kept = tmp_path / "kept"
    words = ["--predictions", genes, "--genome", genome, "--lineage", "x"]
    words += ["--json", tmp_path / "b.json", "--output", kept]
    done = command(words, busco)
    assert done.returncode == 0, done.stderr
    assert "complete 100.0%" in done.stdout
    assert json.loads((tmp_path / "b.json").read_text())["total"] == 1
    assert (kept / "short_summary.specific.txt").is_file()
    assert "exists" in command(words, busco).stderr


def test_failures(tmp_path, busco):
    proteins = tmp_path / "p.fa"
    proteins.write_text(">a\nMK*\n")
    done = command(["--predictions", proteins, "--lineage", "bad"], busco)
    assert (done.returncode, done.stderr.strip()) == (1, "error: BUSCO failed: the lineage bad is unknown")
    genes = tmp_path / "g.gff3"
    genes.write_text("##gff-version 3\n")
    done = command(["--predictions", genes, "--lineage", "x"], busco)
    assert done.returncode == 1
    assert "--genome" in done.stderr
