from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genet5 import annotation
from genet5.cli.main import main
from genet5.errors import FormatError, InputError

GENE = """##gff-version 3
c\t.\tgene\t1\t24\t.\t+\t.\tID=g;Name=abc
c\t.\tmRNA\t1\t24\t.\t+\t.\tID=t;Parent=g
c\t.\texon\t1\t9\t.\t+\t.\tParent=t
c\t.\texon\t16\t24\t.\t+\t.\tParent=t
c\t.\tCDS\t4\t9\t.\t+\t0\tID=p;Parent=t
c\t.\tCDS\t16\t18\t.\t+\t0\tID=p;Parent=t
"""
SEQUENCE = ">c\naaaATGAAAgtacagTAGccccccACGT\n"


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    (tmp_path / "a.gff3").write_text(GENE)
    (tmp_path / "c.fa").write_text(SEQUENCE)
    return tmp_path / "a.gff3", tmp_path / "c.fa"


def test_typed_objects(files):
    genes = annotation.read(files[0])
    assert len(genes) == 1
    gene = genes[0]
    assert (gene.id, gene.name, gene.seqid, gene.start, gene.end, gene.strand) == ("g", "abc", "c", 0, 24, "+")
    (transcript,) = gene.transcripts
    assert (transcript.id, transcript.gene_id, transcript.biotype) == ("t", "g", "protein_coding")
    assert transcript.exons == [(0, 9), (15, 24)]
    assert transcript.cds == [(3, 9), (15, 18)]
    assert (transcript.cds_phase, transcript.partial_5, transcript.flags) == (0, False, [])
    assert [g.id for g in genes] == ["g"]
    assert genes[-1].id == "g"
    with pytest.raises(IndexError):
        genes[1]
    with pytest.raises(AttributeError):
        gene.id = "x"


def test_tables_through_the_arrow_interface(files):
    pa = pytest.importorskip("pyarrow")
    pl = pytest.importorskip("polars")
    genes = annotation.read(files[0])
    table = pa.table(genes)
    assert table.column("transcript_id").to_pylist() == ["t"]
    assert table.column("cds").to_pylist() == [[{"start": 3, "end": 9}, {"start": 15, "end": 18}]]
    frame = pl.DataFrame(genes)
    assert frame["end"].to_list() == [24]
    assert frame["flags"].to_list() == [[]]


def test_errors_carry_file_and_line(tmp_path):
    path = tmp_path / "bad.gff3"
    path.write_text(GENE + "c\t.\tgene\t5\t1e2\t.\t+\t.\tID=x\n")
    with pytest.raises(FormatError, match="line 8: could not parse the end '1e2'") as caught:
        annotation.read(path)
    assert (caught.value.file, caught.value.line) == (path, 8)
    assert isinstance(caught.value, ValueError)
    assert annotation.read(path, lenient=True).report["counts"] == {"malformed line": 1}
    with pytest.raises(FileNotFoundError) as missing:
        annotation.read(tmp_path / "none.gff3")
    assert Path(missing.value.filename) == tmp_path / "none.gff3"
    for content in (b"", b"\x00\x01\x02", gzip.compress(GENE.encode())[:60], b"BZh9"):
        path.write_bytes(content)
        with pytest.raises(FormatError, match=r"bad\.gff3"):
            annotation.read(path)


def test_the_name_of_a_file_tells_nothing(files, tmp_path):
    for suffix, content in ((".txt", GENE.encode()), (".fa", gzip.compress(GENE.encode()))):
        path = tmp_path / f"named{suffix}"
        path.write_bytes(content)
        assert len(annotation.read(path)) == 1


def test_extract(files, tmp_path, capsys):
    gff, fasta = files
    out = {name: tmp_path / name for name in ("x.fna", "y.faa", "z.fna")}
    arguments = ["extract", str(fasta), str(gff), "--cds", str(out["x.fna"]), "--protein", str(out["y.faa"])]
    assert main([*arguments, "--transcripts", str(out["z.fna"])]) == 0
    assert out["x.fna"].read_text() == ">t gene=g\nATGAAATAG\n"
    assert out["y.faa"].read_text() == ">t gene=g\nMK\n"
    assert out["z.fna"].read_text() == ">t gene=g\nAAAATGAAATAGCCCCCC\n"
    # In code 6 TAG is glutamine: no stop is taken off.
    assert main([*arguments, "--code_for", "c=6"]) == 0
    assert out["y.faa"].read_text() == ">t gene=g\nMKQ\n"
    for wrong in (["--code_for", "c"], ["--code_for", "d=6"], ["--genetic_code", "7"]):
        before = out["y.faa"].read_bytes()
        assert main([*arguments, *wrong]) == 1
        assert capsys.readouterr().err.startswith("error: ")
        assert out["y.faa"].read_bytes() == before
    assert main(["extract", str(fasta), str(gff)]) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.gff3", "c.fa", *sorted(out)]


def test_a_cds_begins_at_its_first_whole_codon(tmp_path):
    (tmp_path / "c.fa").write_text(SEQUENCE)
    (tmp_path / "a.gff3").write_text("c\t.\tCDS\t2\t9\t.\t+\t2\tID=p\n")
    found = annotation.read(tmp_path / "a.gff3")
    found.write_cds(tmp_path / "o.fa", annotation.read_genome(tmp_path / "c.fa"))
    assert (tmp_path / "o.fa").read_text() == ">p\nATGAAA\n"


def test_stats(files, capsys):
    gff, fasta = files
    assert main(["stats", str(gff), str(fasta)]) == 0
    printed = capsys.readouterr().out
    assert "1 of 1 coding transcripts (100.0%)" in printed
    assert "GT-AG" in printed
    assert main(["stats", str(gff), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["genes"], found["intron_lengths"]["total"], found["quality"]) == (1, 6, None)


def test_a_wrong_genetic_code_is_noticed(tmp_path, capsys):
    """Genes that read through TGA, as in code 4, have stops inside under code 1."""
    codon = "ATGTGATGGGCTTAA"
    (tmp_path / "c.fa").write_text(">c\n" + codon * 20 + "\n")
    rows = [f"c\t.\tCDS\t{1 + 15 * i}\t{15 + 15 * i}\t.\t+\t0\tID=p{i}\n" for i in range(20)]
    (tmp_path / "a.gff3").write_text("".join(rows))
    assert main(["stats", str(tmp_path / "a.gff3"), str(tmp_path / "c.fa")]) == 0
    printed = capsys.readouterr().out
    assert "20 of 20 coding transcripts have stops inside with genetic code 1; code 2 fits better" in printed
    assert main(["stats", str(tmp_path / "a.gff3"), str(tmp_path / "c.fa"), "--genetic_code", "4"]) == 0
    assert "20 of 20 coding transcripts (100.0%)" in capsys.readouterr().out


def test_check_against_the_wrong_genome(files, tmp_path):
    (tmp_path / "other.fa").write_text(">x\nACGT\n")
    found = annotation.read(files[0])
    with pytest.raises(FormatError, match="none of the annotated sequences"):
        found.check_against(annotation.read_genome(tmp_path / "other.fa"))
    (tmp_path / "short.fa").write_text(">c\nACGT\n")
    with pytest.raises(FormatError, match="line 2: the end 24 lies past the end of sequence 'c', which has 4 bases"):
        found.check_against(annotation.read_genome(tmp_path / "short.fa"))


def test_writing_is_whole_or_not_at_all(files, tmp_path):
    found = annotation.read(files[0])
    with pytest.raises(OSError, match="No such file"):
        found.write_gff3(tmp_path / "no" / "such.gff3")
    genome = annotation.read_genome(files[1])
    with pytest.raises(InputError, match="genetic code 99"):
        found.write_proteins(tmp_path / "y.faa", genome, 99)
    assert not (tmp_path / "y.faa").exists()


def test_translation_equals_biopython_in_every_code():
    seq = pytest.importorskip("Bio.Seq")
    tables = pytest.importorskip("Bio.Data.CodonTable").unambiguous_dna_by_id
    codons = [a + b + c for a in "ACGT" for b in "ACGT" for c in "ACGT"]
    for number, table in tables.items():
        for codon in codons:
            ours = annotation.translate(("ATG" + codon + "GCT").encode(), number).decode()[1]
            # Codes in which a codon is both stop and amino acid: it is the amino acid inside a protein.
            assert ours == table.forward_table.get(codon, "*"), (number, codon)
        starts = [c for c in codons if annotation.translate(c.encode(), number, True) == b"M"]
        methionine = [codon for codon, acid in table.forward_table.items() if acid == "M"]
        assert set(starts) == {*table.start_codons, *methionine}
    assert seq.Seq("ATGGCN").translate() == annotation.translate(b"ATGGCN").decode()


@given(st.text("ACGTRYSWKMBDHVNacgtryswkmbdhvn", max_size=60))
def test_reverse_complement_equals_biopython(bases):
    seq = pytest.importorskip("Bio.Seq")
    assert annotation.reverse_complement(bases.encode()).decode() == str(seq.Seq(bases).reverse_complement())


def test_biotypes_are_unique_and_start_with_protein_coding():
    names = annotation.biotypes()
    assert names[0] == "protein_coding"
    assert len(names) == len(set(names)) > 20


def test_reading_imports_neither_torch_nor_pyarrow(files):
    code = (
        "import sys; from genet5 import annotation; annotation.read(sys.argv[1]);"
        "assert not {'torch', 'transformers', 'pyarrow'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(files[0])], check=True)


def test_columns_are_numpy(files):
    columns = annotation.read(files[0]).columns()
    assert isinstance(columns["start"], np.ndarray)
    assert columns["start"].tolist() == [0]
