"""Levels of the comparison against gffcompare's own words."""

import json
import re
import subprocess
import sys

import pytest

from genet5 import _core

# The other pairs have genes with transcripts on both strands, or transcripts whose order in the file decides: the Rust
# tests compare all seven, and here is the way from files to figures.
PAIRS = ["yeast_1"]
NAMES = {
    "Base level": "base",
    "Exon level": "exon",
    "Intron level": "intron",
    "Intron chain level": "intron_chain",
    "Transcript level": "transcript",
    "Locus level": "locus",
}


def stated(path):
    text = path.read_text()
    rows = re.findall(r"^ *([A-Z][a-z ]+ level): +([\d.]+) +\| +([\d.]+)", text, re.MULTILINE)
    levels = {NAMES[name]: (float(sn), float(pr)) for name, sn, pr in rows}
    assert set(levels) == set(NAMES.values())
    queries = re.search(r"Query mRNAs : +(\d+) in +(\d+) loci", text)
    references = re.search(r"Reference mRNAs : +(\d+) in +(\d+) loci", text)
    return levels, [int(n) for n in (*queries.groups(), *references.groups())]


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("kind", ["default", "strict", "self"])
def test_gffcompare_levels(data, pair, kind):
    folder = data / "gffcompare" / pair
    reference = _core.Annotation.read(folder / "reference.gff3.gz")
    predicted = reference if kind == "self" else _core.Annotation.read(folder / "prediction.gff3.gz")
    strict = kind == "strict"
    found = _core.compare(predicted, reference, strict=strict, end_range=0 if strict else 100)
    levels, (queries, query_loci, references, reference_loci) = stated(folder / f"{kind}.stats")
    counts = (found["transcript"]["pred"], found["locus"]["pred"], found["transcript"]["ref"], found["locus"]["ref"])
    assert counts == (queries, query_loci, references, reference_loci)
    for name, (sn, pr) in levels.items():
        assert (round(found[name]["sn"], 1), round(found[name]["pr"], 1)) == (sn, pr), name


HEAD = "##gff-version 3\n"


def write(path, genes):
    """Genes as (strand, [transcripts as lists of CDS parts, 1-based])."""
    lines = []
    for g, (strand, transcripts) in enumerate(genes):
        low = min(part[0] for t in transcripts for part in t)
        high = max(part[1] for t in transcripts for part in t)
        lines.append(f"c\tx\tgene\t{low}\t{high}\t.\t{strand}\t.\tID=g{g}")
        for t, parts in enumerate(transcripts):
            ends = f"{parts[0][0]}\t{parts[-1][1]}"
            lines.append(f"c\tx\tmRNA\t{ends}\t.\t{strand}\t.\tID=g{g}t{t};Parent=g{g}")
            for start, end in parts:
                for kind, phase in (("exon", "."), ("CDS", "0")):
                    lines.append(f"c\tx\t{kind}\t{start}\t{end}\t.\t{strand}\t{phase}\tParent=g{g}t{t}")
    path.write_text(HEAD + "\n".join(lines) + "\n")
    return _core.Annotation.read(path)


def test_coding_levels_are_exact(tmp_path):
    reference = write(
        tmp_path / "r.gff3",
        [("+", [[(1, 30)], [(1, 12), (20, 30)]]), ("-", [[(101, 130), (161, 190)]]), ("+", [[(301, 330)]])],
    )
    predicted = write(
        tmp_path / "p.gff3",
        # The second isoform of the first gene; a wrong start of the second; nothing of the third; one invented.
        [("+", [[(1, 12), (20, 30)]]), ("-", [[(101, 130), (161, 187)]]), ("-", [[(301, 330)]])],
    )
    found = _core.compare(predicted, reference)
    assert {key: found["gene"][key] for key in ("tp", "ref", "pred")} == {"tp": 1, "ref": 3, "pred": 3}
    assert (found["start"]["tp"], found["start"]["ref"], found["start"]["pred"]) == (1, 3, 3)
    assert (found["stop"]["tp"], found["stop"]["ref"], found["stop"]["pred"]) == (2, 3, 3)
    assert (found["donor"]["tp"], found["acceptor"]["tp"], found["donor"]["ref"]) == (2, 2, 2)
    # Distinct coding parts: 1-30, 1-12, 20-30, two of the second gene, 301-330.
    assert (found["cds_exon"]["tp"], found["cds_exon"]["ref"], found["cds_exon"]["pred"]) == (3, 6, 5)
    # 1-30 is one stretch of the reference: 12 + 11 of its 30 bases, 30 + 27 of 60, none of 30.
    assert (found["cds_base"]["tp"], found["cds_base"]["ref"], found["cds_base"]["pred"]) == (80, 120, 110)
    assert found["gene"]["f1"] == pytest.approx(100 / 3)


def test_nothing_predicted(tmp_path):
    reference = write(tmp_path / "r.gff3", [("+", [[(1, 30)]])])
    (tmp_path / "p.gff3").write_text(HEAD)
    found = _core.compare(_core.Annotation.read(tmp_path / "p.gff3"), reference)
    for level in found.values():
        assert (level["sn"], level["pr"], level["f1"], level["tp"], level["pred"]) == (0, 0, 0, 0, 0)


def command(*words):
    return subprocess.run(
        [sys.executable, "-m", "genet5.cli.main", "eval", *map(str, words)], capture_output=True, text=True, check=False
    )


def test_command_with_baseline(data, tmp_path):
    folder = data / "genomes" / "saccharomyces_cerevisiae_ncbi"
    reference, genome = folder / "genes.gff3.gz", folder / "genome.fna.gz"
    chromosome = _core.Genome.read(genome).ids[0]
    output = tmp_path / "f1.json"
    words = ["--predictions", reference, "--reference", reference, "--genome", genome, "--seqids", chromosome]
    done = command("f1", *words, "--json", output)
    assert done.returncode == 0, done.stderr
    result = json.loads(output.read_text())
    assert list(result) == ["levels", "baseline"]
    assert list(result["levels"]) == _core.LEVELS == list(result["baseline"])
    assert all(set(level) == {"sn", "pr", "f1", "tp", "ref", "pred"} for level in result["levels"].values())
    assert result["levels"]["gene"]["f1"] == 100
    assert 80 < result["baseline"]["gene"]["f1"] < 92
    assert "ORF F1" in done.stdout
    assert len(done.stdout.splitlines()) == len(_core.LEVELS) + 2


def test_command_refuses(data, tmp_path):
    folder = data / "genomes" / "saccharomyces_cerevisiae_ncbi"
    other = data / "genomes" / "ecoli_k12_mg1655" / "genes.gff3.gz"
    done = command("f1", "--predictions", other, "--reference", folder / "genes.gff3.gz")
    assert done.returncode == 1
    assert "name their sequences differently" in done.stderr
    done = command("f1", "--predictions", other, "--reference", other, "--seqids", "nowhere")
    assert done.returncode == 1
    assert "no sequence 'nowhere'" in done.stderr
