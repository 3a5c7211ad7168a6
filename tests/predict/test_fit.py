"""Fitting weights: with weak evidence reading frames alone are the safe choice, with good evidence it does better."""

import json

import numpy as np
import pytest
from perfect_evidence import perfect_evidence

from genet5 import _core
from genet5.errors import InputError
from genet5.evaluate.fit import Region, fit_parameters, region_genes


@pytest.fixture(scope="module")
def yeast(data):
    folder = data / "genomes" / "saccharomyces_cerevisiae_ncbi"
    genome = _core.Genome.read(folder / "genome.fna.gz")
    return genome, _core.Annotation.read(folder / "genes.gff3.gz")


def region(yeast, seqid, start, end, noise):
    """True evidence that is drowned in noise of that size."""
    genome, annotation = yeast
    sequence = genome.sequence(seqid)[start:end]
    genes = region_genes(annotation, seqid, start, end)
    models = [(strand, chains[0]) for strand, chains in genes]
    classes, signals = perfect_evidence(models, len(sequence), size=1.0)
    random = np.random.default_rng(start)
    # Neighbouring bases err alike.
    blocks = random.normal(0, noise, (len(sequence) // 200 + 1, 2, 6)).repeat(200, 0)[: len(sequence)]
    return Region(
        sequence, (classes + blocks).astype(np.float32), signals + random.normal(0, noise, signals.shape), genes
    )


def gene_f1(parameters, region):
    decoder = _core.GeneDecoder(parameters)
    found = decoder.decode("c", region.sequence, region.classes, region.signals.astype(np.float32))
    truth = {(strand, tuple(chain)) for strand, chains in region.genes for chain in chains}
    right = len(truth & {(g.strand, tuple(g.transcripts[0].cds)) for g in found})
    return 200 * right / (len(found) + len(region.genes))


def test_good_evidence_is_trusted_and_noise_is_not(yeast):
    initial = _core.default_gene_parameters("unicellular")
    seqid = yeast[0].ids[1]
    weights = {}
    for noise in (0.3, 30.0):
        fit = region(yeast, seqid, 100_000, 180_000, noise)
        steps = []
        fitted = fit_parameters([fit], initial, rounds=1, threads=1, progress=lambda *step: steps.append(step))  # noqa: B023
        assert fitted == fit_parameters([fit], initial, rounds=1, threads=2)
        assert steps[-1][1] == max(step[1] for step in steps)
        assert steps[-1][3] >= gene_f1(initial, fit) - 1e-9
        weights[noise] = json.loads(fitted)
        assert weights[noise]["fitted"]
        test = region(yeast, seqid, 300_000, 380_000, noise)
        # Reading frames alone find about 85% here.
        assert gene_f1(fitted, test) > (95 if noise < 1 else 75)
    assert weights[30.0]["weights"]["cds_scale"] < weights[0.3]["weights"]["cds_scale"]


@pytest.mark.long
def test_scores_are_calibrated(yeast):
    """Among genes of score about p, a share of about p is right."""
    seqid = yeast[0].ids[1]
    noise = 3.0
    fit = region(yeast, seqid, 100_000, 250_000, noise)
    fitted = fit_parameters([fit], _core.default_gene_parameters("unicellular"), rounds=1, threads=1)
    test = region(yeast, seqid, 300_000, 450_000, noise)
    found = _core.GeneDecoder(fitted).decode("c", test.sequence, test.classes, test.signals.astype(np.float32))
    truth = {(strand, tuple(chain)) for strand, chains in test.genes for chain in chains}
    right = [(g.strand, tuple(g.transcripts[0].cds)) in truth for g in found]
    scores = [g.score for g in found]
    assert abs(np.mean(scores) - np.mean(right)) < 0.1


def test_refusals(yeast):
    initial = _core.default_gene_parameters("unicellular")
    empty = Region(b"ACGT" * 10, np.zeros((40, 2, 6), np.float32), np.zeros((40, 2, 6), np.float32), [])
    with pytest.raises(InputError, match="no gene to fit"):
        fit_parameters([empty], initial)
    bad = Region(empty.sequence, empty.classes, empty.signals, [("+", [[(30, 50)]])])
    with pytest.raises(InputError, match="inside the region of 40 bp"):
        fit_parameters([bad], initial)

    def stop(*step):
        raise RuntimeError("enough")

    unsayable = Region(empty.sequence, empty.classes, empty.signals, [("+", [[(3, 12)]])])
    with pytest.raises(InputError, match="can say none of the genes"):
        fit_parameters([unsayable], initial)
    sequence = b"TTTT" + b"ATG" + b"AAA" * 30 + b"TAA" + b"TTTT"
    blank = np.zeros((len(sequence), 2, 6), np.float32)
    good = Region(sequence, blank, blank, [("+", [[(4, len(sequence) - 4)]])])
    with pytest.raises(RuntimeError, match="enough"):
        fit_parameters([good], initial, progress=stop)
