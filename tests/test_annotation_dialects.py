"""Every file of the corpus of dialects is read, or refused for the reason it was made for."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from genet5 import annotation
from genet5.errors import FormatError

# Files that must be refused, with the line and words of the refusal.
REFUSED = {
    "agat_gff_syntax_33_test.gff": (1, "its own ancestor"),
    "agat_gff_syntax_34_test.gff": (1, "its own ancestor"),
    "agat_gff_syntax_44_test.gff": (2, "neither transcript_id nor gene_id"),
    "gff3toolkit_errors.gff3": (8, "the end is -1016081"),
    "gffutils_issue167.gff": (1, "separated by spaces"),
    "gffutils_unsanitized.gff": (1, "the start 1000 is larger than the end 500"),
    "gt_corrupt_large.gff3": (48, "the strand is 'X'"),
    "gt_empty_attribute.gff3": (3, "no name"),
    "gt_empty_attribute_name.gff3": (3, "no name"),
    "gt_gt_gff3_illegal_feature_start.gff3": (3, "the start is 0"),
    "gt_gt_gff3_illegal_region_start.gff3": (2, "start is 0"),
    "gt_gt_gff3_range_check.gff3": (3, "outside the ##sequence-region"),
    "gt_gt_gff3_range_check3.gff3": (3, "outside the ##sequence-region"),
    "gt_gt_gff3_test_10.gff3": (3, "expected 9 columns"),
    "gt_gt_gff3_test_13.gff3": (3, "unescaped '='"),
    "gt_gt_gff3_test_14.gff3": (4, "unescaped '='"),
    "gt_gt_gff3_test_20.gff3": (1, "version is 'X'"),
    "gt_gt_gff3_test_5.gff3": (2, "no start"),
    "gt_gt_gff3_test_6.gff3": (2, "no end"),
    "gt_gt_gff3_test_8.gff3": (2, "end 'x'"),
    "gt_gt_gff3_test_9.gff3": (2, "larger than its end"),
    "gt_gt_gff3_undefined_range.gff3": (3, "could not parse the start '.'"),
    "gt_illegal_is_circular_value.gff3": (3, "Is_circular is 'xxx'"),
    "gt_self_referential.gff3": (3, "its own ancestor"),
    "gt_sequence_region_negative_end.gff3": (2, "-1497228"),
}

# Genes, transcripts and coding transcripts of real dialects, counted by hand or by grep.
COUNTS = {
    "agat_gff_syntax_stop_split_over_two_exons.gtf": (1, 1, 1),
    "ensembl75_human.gtf": (14, 27, 11),
    "evm_predictions.gff3": (31, 31, 31),
    "genemark_es.gtf": (106, 106, 106),
    "genemarks2.gff": (581, 581, 581),
    "maker_au9_honeybee.gff3": (78, 98, 98),
    "ncbi_ptt_cds_only.gff": (835, 835, 835),
    "ncbi_refseq_yeast_partial.gff3": (34, 34, 34),
    "prodigal_output.gff": (394, 394, 394),
    "prokka_cav_10DC88.gff3": (600, 600, 578),
    "spec_eden.gff3": (1, 4, 4),
    "ucsc_ensGene.gtf": (80, 80, 79),
}


def files(data: Path) -> list[Path]:
    found = [path for path in sorted((data / "dialects").iterdir()) if path.name != "INDEX.tsv"]
    assert len(found) >= 242
    return found


def test_every_dialect_is_read_or_refused(data, tmp_path):
    wrong = []
    for path in files(data):
        try:
            found = annotation.read(path)
        except FormatError as error:
            line, words = REFUSED.get(path.name, (0, ""))
            if not words or error.line != line or words not in str(error) or str(path) not in str(error):
                wrong.append(f"{path.name}: {error}")
            continue
        if path.name in REFUSED:
            wrong.append(f"{path.name}: read, but must be refused")
        for gene in found:
            for transcript in gene.transcripts:
                exons = transcript.exons
                assert exons
                assert all(a[1] < b[0] for a, b in itertools.pairwise(exons)), (path.name, transcript.id)
                inside = all(any(e[0] <= c[0] and c[1] <= e[1] for e in exons) for c in transcript.cds)
                assert inside, (path.name, transcript.id)
        if path.name in COUNTS:
            transcripts = [t for gene in found for t in gene.transcripts]
            assert (len(found), len(transcripts), sum(bool(t.cds) for t in transcripts)) == COUNTS[path.name], path.name
        # What is written is read again; genes without transcripts may turn out to be the same.
        found.write_gff3(tmp_path / "again.gff3")
        again = annotation.read(tmp_path / "again.gff3")
        same = again.report["counts"].get("gene identical to another, kept once", 0)
        assert {g.id for g in again} <= {g.id for g in found}, path.name
        assert len(again) == len(found) - same, path.name
    assert not wrong, "\n".join(wrong)


def test_lenient_reading_refuses_cycles_alone(data):
    for path in files(data):
        if path.name in REFUSED and REFUSED[path.name][1] == "its own ancestor":
            with pytest.raises(FormatError):
                annotation.read(path, lenient=True)
        elif path.name in REFUSED:
            counts = annotation.read(path, lenient=True).report["counts"]
            assert counts.keys() & {"malformed line", "gene outside its sequence"}, path.name
        else:
            assert "malformed line" not in annotation.read(path, lenient=True).report["counts"], path.name


def test_the_specification(data):
    eden = annotation.read(data / "spec" / "canonical_gene.gff3")
    cds = {t.id: t.cds for gene in eden for t in gene.transcripts}
    assert cds["mRNA00001"] == [(1200, 1500), (2999, 3902), (4999, 5500), (6999, 7600)]
    assert sorted(cds) == ["cds00004", "mRNA00001", "mRNA00002", "mRNA00003"]
    phage = annotation.read(data / "spec" / "circular_f1.gff3")
    assert phage.circular == [True]
    assert [(gene.start, gene.end) for gene in phage] == [(6005, 7238)]
    spliced = annotation.read(data / "spec" / "trans_splicing_real_example.gff3")
    assert {flag for gene in spliced for flag in gene.flags} == {"trans_splicing"}
    assert not any(gene.transcripts for gene in spliced)
