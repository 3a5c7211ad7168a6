"""Adaptation to a genome: the program that learns, the training on its own genes, and the command."""

from __future__ import annotations

import gzip
import json
import shutil

import numpy as np
import pytest
import torch

from genet5._core import Annotation, GeneDecoder, Genome, GenomeDecoder, default_gene_parameters
from genet5.cli.main import main
from genet5.errors import InputError
from genet5.predict.annotate import PredictionOptions, open_model
from genet5.train.adapt import _windows, annotator_that_adapts, train_on_own_genes

PARAMETERS = default_gene_parameters("prokaryotes")
BASES = 250_000


@pytest.fixture(scope="module")
def genome(data, tmp_path_factory):
    """The first 250 kb of E. coli."""
    with gzip.open(data / "genomes" / "ecoli_k12_mg1655" / "genome.fna.gz", "rt") as file:
        letters = "".join(file.read().splitlines()[1:])[:BASES]
    path = tmp_path_factory.mktemp("genome") / "genome.fna"
    path.write_text(f">one\n{letters}\n")
    return path


@pytest.fixture(scope="module")
def reference(data):
    """E. coli's genes there: strand, start, end."""
    annotation = Annotation.read(data / "genomes" / "ecoli_k12_mg1655" / "genes.gff3.gz")
    return [
        (gene.strand, *gene.transcripts[0].cds[0])
        for gene in annotation.genes
        if gene.end <= BASES and not gene.flags and gene.transcripts and len(gene.transcripts[0].cds) == 1
    ]


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "init"
    options = ["--preset", "micro", "--save_dir", str(folder), "--encoder_to_head", "off", "--taxon", "prokaryotes"]
    assert main(["init", *options]) == 0
    return folder


def rough_evidence(genes, length, seed=0):
    """Evidence that knows coding strands and frames, here and there wrong, and nothing of starts and stops."""
    generator = np.random.default_rng(seed)
    classes = generator.normal(-2, 1, (length, 2, 6)).astype(np.float32)
    for strand, start, end in genes:
        s, frame = (0, start % 3) if strand == "+" else (1, end % 3)
        if generator.random() < 0.95:
            # Where the gene begins is open: the bases around its start are neither inside nor outside.
            begin, stop = (start + 60, end) if strand == "+" else (start, end - 60)
            classes[begin:stop, s, 1 + frame] += 5
            first = max(start - 60, 0) if strand == "+" else end - 60
            classes[first : first + 120, s, 1 + frame] = 0
    return classes, np.zeros((length, 2, 6), np.float32)


def exact(annotation, genes):
    found = {(gene.strand, *gene.transcripts[0].cds[0]) for gene in annotation.genes}
    return sum(gene in found for gene in genes)


@pytest.fixture(scope="module")
def learned(genome, reference):
    """A decoder before adaptation, the genes it gave, and what three rounds made of it."""
    sequence = Genome.read(genome).sequence("one")
    decoder = GenomeDecoder(PARAMETERS)
    classes, signals = rough_evidence(reference, len(sequence))
    assert decoder.add("one", sequence) == 0
    # In pieces, as evidence comes.
    for begin in range(0, len(sequence), 70_000):
        decoder.push(0, classes[begin : begin + 70_000], signals[begin : begin + 70_000])
    before = decoder.annotation()
    alone = GeneDecoder(PARAMETERS).decode("one", sequence, classes, signals, 11)
    refits = [decoder.refit() for _ in range(3)]
    return before, alone, decoder, refits


def test_without_adaptation_the_genes_are_those_of_the_program_alone(learned):
    before, alone, _, _ = learned
    assert len(before) > 100
    assert [(g.id, g.strand, g.start, g.end, g.score) for g in before.genes] == [
        (g.id, g.strand, g.start, g.end, g.score) for g in alone.genes
    ]


def test_real_genes_teach_the_starts_and_the_binding_site(learned, reference):
    before, _, decoder, refits = learned
    assert all(refit is not None and refit.genes > 100 for refit in refits)
    consensus, share, spacer = refits[-1].motifs[0]
    # E. coli's ribosomes bind to TAAGGAGGT, some 5 to 9 bp before the start.
    assert any(word in consensus for word in ("AGGA", "GGAG", "GAGG"))
    assert share > 0.2
    assert 4 <= spacer <= 10
    assert exact(decoder.annotation(), reference) > exact(before, reference) + len(reference) // 20


def test_labels_agree_with_the_genes_and_leave_doubt_out(learned, reference):
    _, _, decoder, _ = learned
    classes, signals = decoder.labels(0)
    assert classes.shape == (BASES, 2)
    assert signals.shape == (BASES, 2, 6)
    truth = np.zeros((BASES, 2), np.int8)
    for strand, start, end in reference:
        s, frame = (0, start % 3) if strand == "+" else (1, end % 3)
        truth[start:end, s] = 1 + frame
    coding = classes > 0
    assert (classes[coding] == truth[coding]).mean() > 0.95
    assert 0.001 < (classes < 0).mean() < 0.2
    assert set(np.unique(signals[..., [0, 2, 3, 5]])) == {-1}
    stops = {end - 1 for strand, _, end in reference if strand == "+"}
    found = np.flatnonzero(signals[:, 0, 4] == 1)
    assert len(found) > 50
    assert np.mean([stop in stops for stop in found]) > 0.85


def test_windows_count_frames_from_their_start(model_folder, genome):
    reading = open_model(Genome.read(genome), model_folder, PredictionOptions(window_size=1_000))
    classes = np.full((BASES, 2), -1, np.int8)
    # A frame of 0 1 2 by the sequence's thousands, in sequence coordinates, on the first strand.
    classes[:, 0] = 1 + np.arange(BASES) // 1000 % 3
    signals = np.full((BASES, 2, 6), -1, np.int8)
    letters, own, _ = next(_windows(reading, [(classes, signals)], np.random.default_rng(0)))
    sequence = reading.genome.sequence("one")
    at = 0
    for text in letters:
        start = sequence.index(text)
        for base in (0, 500, 999):
            frame = (start + base) // 1000 % 3
            assert own[at + base, 0] == 1 + (frame - start) % 3
        assert (own[at : at + 1000, 1] == -1).all()
        at += len(text)


def test_training_on_its_own_genes_lowers_the_loss_and_leaves_the_folder(model_folder, genome, learned):
    labels = learned[2].labels(0)
    reading = open_model(Genome.read(genome), model_folder, PredictionOptions(window_size=5_000, threads=1))
    stored = (model_folder / "model.safetensors").read_bytes()

    def loss():
        letters, classes, signals = next(_windows(reading, [labels], np.random.default_rng(5)))
        flat = reading.reader.inputs(letters)
        with torch.no_grad():
            return reading.reader.model(
                input_ids=flat.input_ids,
                bases=flat.bases,
                segments=flat.segments,
                positions=flat.positions,
                class_labels=torch.as_tensor(classes),
                signal_labels=torch.as_tensor(signals),
            ).loss.item()

    before = loss()
    others = {name: p.clone() for name, p in reading.reader.model.named_parameters() if "base_head" not in name}
    train_on_own_genes(reading, [labels], 0.1)
    assert loss() < before - 0.2
    assert not reading.reader.model.training
    for name, parameter in reading.reader.model.named_parameters():
        assert "base_head" in name or torch.equal(parameter, others[name])
    assert (model_folder / "model.safetensors").read_bytes() == stored


def test_the_command_adapts_and_says_so(model_folder, genome, tmp_path, capsys):
    eager = tmp_path / "model"
    shutil.copytree(model_folder, eager)
    parameters = json.loads(PARAMETERS)
    weights = parameters["weights"]
    # Without a trained model, open reading frames alone: long ones are genes.
    weights.update(cds_scale=0.0, cds_base=0.0153, gene=-4.0)
    for signal in ("start", "stop"):
        weights[signal] = {"weight": 0.0, "bias": 0.0}
    (eager / "gene_parameters.json").write_text(json.dumps(parameters))
    out = tmp_path / "p.gff3"
    arguments = ["predict", str(genome), "--model", str(eager), "--output", str(out), "--threads", "1", "--adapt"]
    assert main([*arguments, "--adapt_minutes", "0.02"]) == 0
    told = capsys.readouterr().err
    assert "adaptation, round 3:" in told
    assert "steps of training on the genome's own genes" in told
    assert len(Annotation.read(out).check_against(Genome.read(genome))) > 100


def test_too_few_genes_are_annotated_without_adaptation(model_folder, tmp_path, capsys):
    path = tmp_path / "g.fna"
    generator = np.random.default_rng(0)
    path.write_bytes(b">a\n" + bytes(generator.choice(list(b"ACGT"), 5_000).astype(np.uint8)) + b"\n")
    out = tmp_path / "p.gff3"
    assert main(["predict", str(path), "--model", str(model_folder), "--output", str(out), "--adapt"]) == 0
    assert "too few genes" in capsys.readouterr().err
    assert out.exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [(["--taxon", "plants"], "made for prokaryotes"), (["--adapt_minutes", "-1"], "--adapt_minutes")],
)
def test_refusals_are_one_sentence_and_leave_nothing(model_folder, genome, tmp_path, capsys, change, message):
    out = tmp_path / "p.gff3"
    arguments = ["predict", str(genome), "--model", str(model_folder), "--output", str(out), "--adapt", *change]
    assert main(arguments) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ")
    assert message in error
    assert not out.exists()


def test_minutes_of_adaptation_need_adaptation(model_folder, genome, tmp_path, capsys):
    out = tmp_path / "p.gff3"
    arguments = ["predict", str(genome), "--model", str(model_folder), "--output", str(out), "--adapt_minutes", "1"]
    assert main(arguments) == 1
    assert "--adapt_minutes goes with --adapt" in capsys.readouterr().err
    assert not out.exists()


def test_the_decoder_refuses_what_does_not_fit():
    decoder = GenomeDecoder(PARAMETERS)
    rows = np.zeros((10, 2, 6), np.float32)
    with pytest.raises(InputError, match="none of number 0"):
        decoder.push(0, rows, rows)
    decoder.add("a", b"ACGTACGTAC")
    with pytest.raises(InputError, match="evidence for 0 bases"):
        decoder.annotation()
    decoder.push(0, rows, rows)
    with pytest.raises(InputError, match="evidence for 20 bases"):
        decoder.push(0, rows, rows)
    with pytest.raises(InputError, match="genetic code"):
        decoder.add("b", b"ACGT", 7)
    with pytest.raises(InputError, match="adapt_minutes"):
        annotator_that_adapts(float("nan"))
    assert decoder.refit() is None
    assert len(decoder.annotation()) == 0
