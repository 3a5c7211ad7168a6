"""The dynamic programs on real genomes with perfect evidence, and the decoder's interface."""

import json

import numpy as np
import pytest
from perfect_evidence import perfect_evidence, sayable

from genet5 import _core
from genet5.errors import InputError


def chains(annotation):
    return {(gene.strand, tuple(t.cds)) for gene in annotation for t in gene.transcripts}


# What the programs allow: bp of a coding sequence, bp that neighbours on one strand and on two may share.
LEAST = {"unicellular": 60, "prokaryotes": 90}
SHARED = {"unicellular": (0, 0), "prokaryotes": (60, 60)}


def apart(models, taxon):
    """Those that share no more bases with any other than the program allows."""
    same, other = SHARED[taxon]
    spans = sorted((parts[0][0], parts[-1][1], strand) for strand, parts in models)
    kept = set()
    for i, (start, end, strand) in enumerate(spans):
        near = spans[max(0, i - 20) : i] + spans[i + 1 : i + 21]
        if all(min(end, e) - max(start, s) <= (same if strand == t else other) for s, e, t in near):
            kept.add((start, end, strand))
    return kept


def decode_truth(data, species, seqid, taxon, genetic_code=1, starts=(b"ATG",), circular=False):
    """Share of the sayable genes that come back from evidence made of all coding genes, and the decoded ones."""
    folder = data / "genomes" / species
    genome = _core.Genome.read(folder / "genome.fna.gz")
    annotation = _core.Annotation.read(folder / "genes.gff3.gz")
    seqid = seqid or genome.ids[0]
    sequence = genome.sequence(seqid).upper()
    coding = [g for g in annotation.genes if g.seqid == seqid and g.transcripts and g.transcripts[0].cds]
    coding = [g for g in coding if g.transcripts[0].cds[-1][1] <= len(sequence) and not g.flags]
    models = [(g.strand, g.transcripts[0].cds) for g in coding]
    free = apart(models, taxon)
    truth = set()
    for gene in coding:
        parts = sayable(gene, sequence, genetic_code, starts)
        long_enough = parts and sum(end - start for start, end in parts) >= LEAST[taxon]
        if long_enough and (parts[0][0], parts[-1][1], gene.strand) in free:
            truth.add((gene.strand, tuple(parts)))
    classes, signals = perfect_evidence(models, len(sequence))
    decoder = _core.GeneDecoder(_core.default_gene_parameters(taxon))
    found = decoder.decode(seqid, sequence, classes, signals, genetic_code, circular)
    return len(truth & chains(found)) / len(truth), len(truth), found


@pytest.mark.parametrize(
    ("species", "seqid", "least"),
    [("saccharomyces_cerevisiae_ncbi", "BK006935.2", 80), ("schizosaccharomyces_pombe", "III", 800)],
)
def test_true_labels_give_the_genes_back(data, species, seqid, least):
    share, truth, _ = decode_truth(data, species, seqid, "unicellular")
    assert truth >= least
    assert share >= 0.99


def test_true_labels_give_prokaryotes_back(data):
    share, truth, _ = decode_truth(
        data, "mycoplasma_genitalium_g37", None, "prokaryotes", 4, (b"ATG", b"GTG", b"TTG"), True
    )
    assert truth > 400
    assert share >= 0.99


@pytest.mark.long
def test_true_labels_give_ecoli_back(data):
    share, truth, _ = decode_truth(data, "ecoli_k12_mg1655", None, "prokaryotes", 11, (b"ATG", b"GTG", b"TTG"), True)
    assert truth > 4000
    assert share >= 0.99


def random_evidence(length, seed=0):
    random = np.random.default_rng(seed)
    sequence = random.choice(np.frombuffer(b"ACGT", np.uint8), length).tobytes()
    shape = (length, 2, 6)
    return sequence, random.normal(0, 3, shape).astype(np.float32), random.normal(0, 3, shape).astype(np.float32)


@pytest.mark.parametrize("taxon", ["unicellular", "prokaryotes"])
def test_chunks_do_not_matter(taxon):
    sequence, classes, signals = random_evidence(30_000)
    decoder = _core.GeneDecoder(_core.default_gene_parameters(taxon))
    whole = decoder.decode("c", sequence, classes, signals)
    stream = decoder.stream("c", sequence)
    for start in range(0, len(sequence), 7001):
        stream.push(classes[start : start + 7001], signals[start : start + 7001])
    chunked = stream.finish()
    assert len(whole) > 3
    assert chains(whole) == chains(chunked)
    assert [g.score for g in whole.genes] == [g.score for g in chunked.genes]
    assert all(0 <= g.score <= 1 for g in whole.genes)
    likely = decoder.decode("c", sequence, classes, signals, min_score=0.9)
    assert chains(likely) == {(g.strand, tuple(g.transcripts[0].cds)) for g in whole.genes if g.score >= 0.9}
    with pytest.raises(InputError, match="finished before"):
        stream.finish()


def test_wrong_evidence_is_refused():
    sequence, classes, signals = random_evidence(100)
    decoder = _core.GeneDecoder(_core.default_gene_parameters("unicellular"))
    with pytest.raises(InputError, match=r"evidence for 99 bases was given, the sequence has 100"):
        decoder.decode("c", sequence, classes[:99], signals[:99])
    with pytest.raises(InputError, match=r"shape \[100, 2, 5\]"):
        decoder.decode("c", sequence, classes[:, :, :5], signals)
    with pytest.raises(InputError, match="contiguous"):
        decoder.decode("c", sequence, classes[::-1], signals)
    with pytest.raises(InputError, match="no genetic code 7"):
        decoder.decode("c", sequence, classes, signals, genetic_code=7)


@pytest.mark.parametrize("taxon", ["unicellular", "prokaryotes"])
def test_alternatives_of_a_locus(taxon):
    """The first is what decoding gives; a stretch says the same in the sequence's coordinates as in its own."""
    sequence, classes, signals = random_evidence(6_000)
    decoder = _core.GeneDecoder(_core.default_gene_parameters(taxon))
    found = decoder.alternatives("c", sequence, classes, signals, 0, wanted=4)
    # Chance leaves few open reading frames of 90 bp: the annotation without genes is among the prokaryotes' few.
    assert len(found) == 4 if taxon == "unicellular" else 2 <= len(found) <= 4
    assert [score for score, _ in found] == sorted((score for score, _ in found), reverse=True)
    assert len({frozenset(chains(annotation)) for _, annotation in found}) == len(found)
    assert chains(found[0][1]) <= chains(decoder.decode("c", sequence, classes, signals))
    start, end = 1_500, 5_100
    inner = decoder.alternatives("c", sequence, classes[start:end], signals[start:end], start, wanted=2)
    alone = decoder.alternatives("c", sequence[start:end], classes[start:end], signals[start:end], 0, wanted=1)
    assert start % 3 == 0
    for _, annotation in inner:
        assert all(start <= gene.start < gene.end <= end for gene in annotation)
    whole = [g for g in alone[0][1] if not g.transcripts[0].partial_5 and not g.transcripts[0].partial_3]
    moved = {(s, tuple((a + start, b + start) for a, b in parts)) for s, parts in chains(alone[0][1])}
    assert not whole or moved & chains(inner[0][1])
    with pytest.raises(InputError, match="within the sequence"):
        decoder.alternatives("c", sequence, classes, signals, 1)


def test_parameters_are_checked():
    parameters = json.loads(_core.default_gene_parameters("plants"))
    assert json.loads(_core.GeneDecoder(json.dumps(parameters)).parameters) == parameters
    for change, message in [
        ({"version": 99}, "version 99"),
        ({"weights": {**parameters["weights"], "minimum_intron": 2}}, "minimum_intron"),
        ({"weights": {**parameters["weights"], "typo": 2}}, "unknown field `typo`"),
        ({"priors": {**parameters["priors"], "intron": []}}, "'intron' has 0 pieces"),
    ]:
        with pytest.raises(InputError, match=message):
            _core.GeneDecoder(json.dumps({**parameters, **change}))
    with pytest.raises(InputError, match="the taxa are prokaryotes"):
        _core.default_gene_parameters("fungi")


def test_priors_come_from_counts(data):
    folder = data / "genomes" / "saccharomyces_cerevisiae_ncbi"
    genome = _core.Genome.read(folder / "genome.fna.gz")
    annotation = _core.Annotation.read(folder / "genes.gff3.gz")
    parts = [_core.collect_priors(annotation, genome, seqids=[seqid]) for seqid in genome.ids]
    whole = json.loads(_core.collect_priors(annotation, genome))
    assert json.loads(_core.merge_priors(parts)) == whole
    assert whole["genes"] > 5800
    assert whole["rank_taken"][0] > 0.9 * whole["genes"]
    assert 250 < whole["introns"] < 400
    default = json.loads(_core.default_gene_parameters("unicellular"))
    fitted = json.loads(_core.gene_parameters_with_priors(json.dumps(default), json.dumps(whole)))
    assert fitted["priors"] != default["priors"]
    assert list(fitted["weights"]["start_codons"]) == ["ATG"]


def test_concatenation(data):
    genome = _core.Genome.read(data / "genomes" / "tiny_enterobacteria_phages" / "genome.fna.gz")
    orfs = _core.longest_orfs(genome, 300, 11)
    assert orfs.seqids == genome.ids
    again = _core.concat_annotations([orfs, _core.concat_annotations([])])
    assert [g.id for g in again.genes] == [g.id for g in orfs.genes]
    assert len({g.id for g in again.genes}) == len(again)
