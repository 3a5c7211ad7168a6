"""Real genomes, against programs that others wrote: gffread, Biopython, GenomeTools, gffutils."""

from __future__ import annotations

import gzip
import random
import shutil
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest
from real_genomes import genomes

from genet5 import annotation

LARGE = pytest.mark.long
GENOMES = genomes(
    long={
        "celegans_chrI_ensembl",
        "deinococcus_deserti",
        "drosophila_chr2R_lifted",
        "ecoli_k12_mg1655",
        "human_chrY_ensembl75",
        "vibrio_fischeri_es114",
    }
)

# gffread aborts here.
GFFREAD_ABORTS = {"ecoli_k12_mg1655", "mycoplasma_mycoides", "tiny_sarscov2"}
# gffread cuts sequences at the end of a circular one, and the CDS of transcripts without a row into pieces.
GFFREAD_CUTS = {"synechocystis_pcc6803": 5, "tiny_phix174": 3, "drosophila_1pct": 3}
# Transcripts that only gffread calls coding: pseudogenes, and PomBase's CDS rows of RNA; and 47 retrotransposons and 4
# phage genes whose CDS stands beside its mRNA, which gffread names by the gene.
GFFREAD_ONLY = {
    "chlamydia_trachomatis": 23,
    "mycoplasma_genitalium_g37": 17,
    "saccharomyces_cerevisiae_ncbi": 53,
    "schizosaccharomyces_pombe": 1838,
    "tiny_lambda": 4,
}


def records(path: Path) -> dict[str, str]:
    """FASTA by hand: ids and sequences."""
    found: dict[str, list[str]] = {}
    for line in path.read_text().splitlines():
        if line.startswith(">"):
            current = found.setdefault(line[1:].split()[0], [])
        else:
            current.append(line.upper())
    return {name: "".join(lines) for name, lines in found.items()}


@pytest.fixture
def unpacked(data, tmp_path):
    """Writes a genome and the annotation of its sequences as plain files."""

    def unpack(name: str) -> tuple[Path, Path]:
        folder = data / "genomes" / name
        fasta, gff = tmp_path / "genome.fa", tmp_path / "genes.gff3"
        fasta.write_bytes(gzip.decompress((folder / "genome.fna.gz").read_bytes()))
        ids = set(annotation.read_genome(fasta).ids)
        rows = gzip.decompress((folder / "genes.gff3.gz").read_bytes()).decode().splitlines(keepends=True)
        gff.write_text("".join(row for row in rows if row.startswith("#") or row.split("\t")[0] in ids))
        return fasta, gff

    return unpack


@pytest.mark.parametrize("name", [one for one in GENOMES if one.values[0] not in GFFREAD_ABORTS])
def test_cds_equal_gffread(name, unpacked, tmp_path):
    if shutil.which("gffread") is None:
        pytest.skip("gffread is not installed")
    fasta, gff = unpacked(name)
    subprocess.run(["gffread", "-x", tmp_path / "x.fa", "-g", fasta, gff], check=True, capture_output=True)
    theirs = records(tmp_path / "x.fa")
    genome = annotation.read_genome(fasta)
    annotation.read(gff).check_against(genome).write_cds(tmp_path / "ours.fa", genome)
    ours = records(tmp_path / "ours.fa")
    differ = [key for key in ours.keys() & theirs.keys() if ours[key] != theirs[key]]
    assert len(differ) == GFFREAD_CUTS.get(name, 0), differ[:5]
    # Where they differ, gffread's is shorter.
    assert all(len(theirs[key]) < len(ours[key]) for key in differ)
    assert len(theirs.keys() - ours.keys()) == GFFREAD_ONLY.get(name, 0)
    beside = {"saccharomyces_cerevisiae_ncbi": 47, "tiny_lambda": 4}
    assert len(ours.keys() - theirs.keys()) == beside.get(name, 0)


def read_simply(gff: Path) -> dict[tuple[str, str], list[list[str]]]:
    """CDS rows by sequence and transcript (their own ID where a gene holds them), line by line, without pseudogenes."""
    pseudo, kinds, rows = set(), {}, []
    for line in gff.read_text().splitlines():
        if line.startswith(">"):
            break
        if line.startswith("#") or not line:
            continue
        columns = line.split("\t")
        pairs = dict(field.split("=", 1) for field in columns[8].split(";") if "=" in field)
        kinds[pairs.get("ID")] = columns[2]
        if columns[2] in ("pseudogene", "blocked_reading_frame") or pairs.get("pseudo") == "true":
            pseudo.add(pairs.get("ID"))
        if columns[2] == "CDS":
            rows.append((columns, pairs))
    groups = defaultdict(list)
    for columns, pairs in rows:
        if pairs.get("pseudo") == "true":
            continue
        for parent in pairs.get("Parent", "").split(","):
            # A parent that is nowhere is a transcript, but for TAIR's names of proteins.
            kind = kinds.get(parent, "mRNA") if parent else "gene"
            if parent in pseudo or parent.endswith("-Protein") or kind.startswith("pseudogenic"):
                continue
            if kind.endswith("RNA") and kind != "mRNA":
                continue
            owner = pairs.get("ID", parent) if kind == "gene" else parent
            groups[columns[0], owner].append([*columns[:8], pairs.get("transl_table")])
    return groups


# Sequences whose annotation does not state that their genetic code is not the standard one.
CODES = {"saccharomyces_cerevisiae_sgd": {"chrmt": 3}}


@pytest.mark.parametrize("name", GENOMES)
def test_proteins_equal_biopython(name, unpacked, tmp_path):
    """Sequences of CDS rows joined and translated by Biopython, by coordinates: the same set of proteins."""
    seq = pytest.importorskip("Bio.Seq")
    tables = pytest.importorskip("Bio.Data.CodonTable").unambiguous_dna_by_id
    fasta, gff = unpacked(name)
    codes = CODES.get(name, {})
    genome = annotation.read_genome(fasta)
    # Doubled, for genes over the origin.
    bases = {id: 2 * genome.sequence(id).decode().upper() for id in genome.ids}
    expected = []
    for (seqid, _), rows in read_simply(gff).items():
        rows.sort(key=lambda row: int(row[3]))
        text = bases[seqid]
        spliced = seq.Seq("".join(text[int(row[3]) - 1 : int(row[4])] for row in rows))
        first = rows[0]
        if rows[0][6] == "-":
            spliced, first = spliced.reverse_complement(), rows[-1]
        spliced = spliced[int(first[7]) :]
        code = codes.get(seqid) or int(first[8] or 1)
        protein = str(spliced[: len(spliced) // 3 * 3].translate(code))
        if str(spliced[:3]) in tables[code].start_codons and first[7] == "0":
            protein = "M" + protein[1:]
        expected.append(protein.removesuffix("*"))
    found = annotation.read(gff).check_against(genome)
    found.write_proteins(tmp_path / "y.faa", genome, codes=codes)
    ours = sorted(records(tmp_path / "y.faa").values())
    # Starts that are known to be missing are not read as M.
    partial = sum(t.partial_5 for gene in found for t in gene.transcripts if t.cds)
    differ = len(set(ours) ^ set(expected))
    same = found.report["counts"].get("gene identical to another, kept once", 0)
    assert len(ours) == len(expected) - same
    assert differ <= 2 * partial


def models(genes: annotation.Annotation) -> list[tuple]:
    """All that is known of each gene."""

    def transcript(t):
        return (t.id, t.biotype, *t.exons, *t.cds, t.cds_phase, t.partial_5, t.partial_3, *t.flags)

    return [
        (g.id, g.seqid, g.start, g.end, g.strand, g.biotype, g.flags, [transcript(t) for t in g.transcripts])
        for g in genes
    ]


@pytest.mark.parametrize("name", GENOMES)
def test_the_order_of_rows_is_irrelevant(name, data, tmp_path):
    path = data / "genomes" / name / "genes.gff3.gz"
    lines = gzip.decompress(path.read_bytes()).splitlines(keepends=True)
    rows = [line for line in lines if not line.startswith(b"#")]
    random.Random(7).shuffle(rows)
    head = [line for line in lines if line.startswith(b"##") and not line.startswith(b"###")]
    (tmp_path / "shuffled.gff3").write_bytes(b"".join(head + rows))
    found, again = annotation.read(path), annotation.read(tmp_path / "shuffled.gff3")
    assert sorted(models(again)) == sorted(models(found))
    assert again.report["counts"] == found.report["counts"]


@pytest.mark.parametrize("name", GENOMES)
def test_written_gff3_is_valid_and_reads_back(name, unpacked, tmp_path):
    fasta, gff = unpacked(name)
    found = annotation.read(gff).check_against(annotation.read_genome(fasta))
    found.write_gff3(tmp_path / "out.gff3")
    again = annotation.read(tmp_path / "out.gff3")
    assert models(again) == models(found)
    if shutil.which("gt") is None:
        pytest.skip("GenomeTools is not installed")
    checked = subprocess.run(["gt", "gff3validator", tmp_path / "out.gff3"], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr


# Genes (with pseudogenes), and coding transcripts.
COUNTS = {
    "saccharomyces_cerevisiae_sgd": 6600,
    "schizosaccharomyces_pombe": 5129,
    "celegans_chrI_ensembl": 4693,
    "drosophila_chr2R_lifted": 5868,
    "human_chrY_ensembl75": 160,
    "trypanosoma_brucei_chr1": 472,
    "ecoli_k12_mg1655": 4298,
    "vibrio_fischeri_es114": 3808,
}


@pytest.mark.parametrize("name", sorted(COUNTS))
def test_coding_transcripts_of_the_data_page(name, data):
    folder = data / "genomes" / name
    genome = annotation.read_genome(folder / "genome.fna.gz")
    found = annotation.stats(annotation.read(folder / "genes.gff3.gz").check_against(genome))
    assert found["coding_transcripts"] == COUNTS[name]


@pytest.mark.parametrize("name", GENOMES)
def test_counts_equal_gffutils(name, unpacked):
    gffutils = pytest.importorskip("gffutils")
    _, gff = unpacked(name)
    db = gffutils.create_db(str(gff), ":memory:", merge_strategy="create_unique", keep_order=False)
    found = annotation.read(gff)
    kinds = ("gene", "pseudogene", "transposable_element_gene", "rRNA_gene", "tRNA_gene")
    genes = [feature for kind in kinds for feature in db.features_of_type(kind)]
    assert {gene.id for gene in found} >= {feature.id for feature in genes}
    ours = {t.id: t for gene in found for t in gene.transcripts}
    for feature in db.features_of_type("mRNA"):
        exons = sorted((e.start - 1, e.end) for e in db.children(feature, featuretype="exon", level=1))
        cds = sorted((c.start - 1, c.end) for c in db.children(feature, featuretype="CDS", level=1))
        if exons:
            assert ours[feature.id].exons == exons
        # Where the CDS stands beside its mRNA, under the gene.
        if not cds:
            beside = (c for gene in db.parents(feature) for c in db.children(gene, featuretype="CDS", level=1))
            cds = sorted((c.start - 1, c.end) for c in beside)
        assert ours[feature.id].cds == cds


def test_gtf_and_gff3_of_the_same_annotation_agree(data):
    """Y chromosome: the GFF3 file was made from Ensembl's GTF."""
    folder = data / "genomes" / "human_chrY_ensembl75"
    gff3, gtf = annotation.read(folder / "genes.gff3.gz"), annotation.read(folder / "genes.orig.gtf.gz")

    def cds(genes):
        return sorted((t.id.removeprefix("transcript:"), *t.cds) for g in genes for t in g.transcripts if t.cds)

    assert cds(gff3) == cds(gtf)


def test_ucsc_gtf_joins_the_stop_codon(data):
    """UCSC leaves the stop codon out of the CDS; SGD's own GFF3 has it in."""
    folder = data / "genomes" / "saccharomyces_cerevisiae_sgd"
    sgd = {t.id: t.cds for g in annotation.read(folder / "genes.gff3.gz") for t in g.transcripts if t.cds}
    ucsc = {t.id: t.cds for g in annotation.read(folder / "genes.ucsc_ensGene.gtf.gz") for t in g.transcripts if t.cds}
    both = sgd.keys() & ucsc.keys()
    assert len(both) > 6000
    assert sum(sgd[key] == ucsc[key] for key in both) >= 0.999 * len(both)
