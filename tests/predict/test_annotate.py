"""Prediction end to end with an untrained model: valid files whatever the evidence, and clear refusals."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess

import numpy as np
import pytest
import torch

from genet5._core import Annotation, Genome, Tokenizer, default_gene_parameters
from genet5.cli.main import main
from genet5.model import GeneT5ForConditionalGeneration
from genet5.predict.evidence import EvidenceReader

STOPS = {"TAA", "TAG", "TGA"}


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "init"
    assert main(["init", "--preset", "micro", "--save_dir", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def eager_model(model_folder, tmp_path_factory):
    """The same model with gene parameters that take any open reading frame for a gene, however weak the evidence."""
    folder = tmp_path_factory.mktemp("eager") / "model"
    shutil.copytree(model_folder, folder)
    for taxon, name in (("unicellular", "gene_parameters.json"), ("prokaryotes", "gene_parameters.prokaryotes.json")):
        parameters = json.loads(default_gene_parameters(taxon))
        weights = parameters["weights"]
        weights["gene"] = 5.0
        for signal in ("start", "stop", "donor", "acceptor"):
            weights[signal] = {"weight": 0.0, "bias": 0.0}
        (folder / name).write_text(json.dumps(parameters))
    return folder


@pytest.fixture(scope="module")
def small_genome(data, tmp_path_factory):
    """The first 30 kb of yeast's chromosome I, and 3 kb that overlap nothing."""
    with gzip.open(data / "genomes" / "saccharomyces_cerevisiae_ncbi" / "genome.fna.gz", "rt") as file:
        text = file.read()
    letters = "".join(text[: text.index(">", 1)].splitlines()[1:])
    path = tmp_path_factory.mktemp("genome") / "genome.fna"
    path.write_text(f">one\n{letters[:30_000]}\n>two\n{letters[30_000:33_000].lower()}\n>empty_of_genes\nACGTNNNN\n")
    return path


def fasta(path):
    records = {}
    for block in path.read_text().split(">")[1:]:
        head, *lines = block.splitlines()
        records[head.split()[0]] = "".join(lines)
    return records


@pytest.mark.parametrize("taxon", ["unicellular", "prokaryotes"])
def test_every_gene_is_an_open_reading_frame_in_a_valid_file(eager_model, small_genome, tmp_path, taxon):
    out, cds, protein = (tmp_path / name for name in ("p.gff3", "p.fna", "p.faa"))
    arguments = ["predict", str(small_genome), "--model", str(eager_model), "--output", str(out), "--taxon", taxon]
    assert main([*arguments, "--cds", str(cds), "--protein", str(protein)]) == 0
    annotation = Annotation.read(out).check_against(Genome.read(small_genome))
    assert len(annotation) > 5, "eager parameters must find genes, or this test sees nothing"
    strands = {gene.strand for gene in annotation.genes}
    assert strands == {"+", "-"}
    sequences, proteins = fasta(cds), fasta(protein)
    complete = 0
    for gene in annotation.genes:
        (transcript,) = gene.transcripts
        letters = sequences[transcript.id].upper()
        if transcript.partial_5 or transcript.partial_3:
            continue
        complete += 1
        codons = [letters[i : i + 3] for i in range(0, len(letters), 3)]
        assert len(letters) % 3 == 0
        assert codons[-1] in STOPS
        assert not STOPS & set(codons[:-1])
        assert codons[0] in ({"ATG"} if taxon == "unicellular" else {"ATG", "GTG", "TTG"})
        assert proteins[transcript.id].rstrip("*").startswith("M")
    assert complete > 5
    rows = [line.split("\t") for line in out.read_text().splitlines() if not line.startswith("#")]
    assert all(0 <= float(row[5]) <= 1 for row in rows if row[2] in ("gene", "mRNA"))
    if shutil.which("gt"):
        checked = subprocess.run(["gt", "gff3validator", out], capture_output=True, text=True, check=False)
        assert checked.returncode == 0, checked.stderr


def test_evidence_does_not_depend_on_batches_and_joins_without_seams(model_folder):
    rng = np.random.default_rng(1)
    sequence = bytes(rng.choice(list(b"ACGT"), 7_001).astype(np.uint8))
    model = GeneT5ForConditionalGeneration.from_pretrained(model_folder, dtype=torch.float32)
    tokenizer = Tokenizer(model_folder)
    one = EvidenceReader(model, tokenizer, window_size=2_000, overlap=500, batch_bases=1).whole(sequence)
    many = EvidenceReader(model, tokenizer, window_size=2_000, overlap=500, batch_bases=100_000).whole(sequence)
    assert one.classes.shape == one.signals.shape == (7_001, 2, 6)
    np.testing.assert_allclose(one.classes, many.classes, atol=1e-4)
    np.testing.assert_allclose(one.signals, many.signals, atol=1e-4)


def test_frames_count_from_the_start_of_the_sequence(model_folder):
    """A window that starts elsewhere tells the same frames; not the same numbers, for other codons share a step."""
    rng = np.random.default_rng(2)
    sequence = bytes(rng.choice(list(b"ACGT"), 6_000).astype(np.uint8))
    model = GeneT5ForConditionalGeneration.from_pretrained(model_folder, dtype=torch.float32)
    with torch.no_grad():
        # A new head hardly tells the frames apart: make it, so that a mistaken frame shows.
        model.base_head.codon_logits.weight.mul_(20)
    tokenizer = Tokenizer(model_folder)
    whole = EvidenceReader(model, tokenizer, window_size=6_000, overlap=0).whole(sequence).classes[2_800:3_200]
    cut = EvidenceReader(model, tokenizer, window_size=4_400, overlap=4_000).whole(sequence).classes[2_800:3_200]
    frames = slice(1, 4)
    agree = np.abs(whole[..., frames] - cut[..., frames]).mean()
    shifted = np.abs(whole[..., frames] - np.roll(cut[..., frames], 1, axis=-1)).mean()
    assert agree < 0.7 * shifted


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--seqids", "three"], "which the genome lacks"),
        (["--code_for", "one"], "expected SEQID=N"),
        (["--code_for", "three=4"], "which the genome lacks"),
        (["--genetic_code", "77"], "77"),
        (["--overlap", "20000", "--window_size", "1000"], "--overlap"),
        (["--device", "cuda:9"], "no such GPU"),
        (["--model", "nowhere"], "nowhere does not exist"),
        (["--output", "nowhere/p.gff3"], "nowhere does not exist"),
    ],
)
def test_refusals_are_one_sentence_and_leave_nothing(model_folder, small_genome, tmp_path, capsys, change, message):
    if "cuda:9" in change and torch.cuda.device_count() > 9:
        pytest.skip("this machine has ten GPUs")
    arguments = [
        "predict",
        str(small_genome),
        "--model",
        str(model_folder),
        "--output",
        str(tmp_path / "p.gff3"),
        *change,
    ]
    assert main(arguments) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ")
    assert message in error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "empty"), (b"\x00\x01\x02\xff" * 50, "g.fna"), (b">a\nACGT\n>a\nACGT\n", "line 3"), (None, "No such file")],
)
def test_bad_genomes_are_refused(model_folder, tmp_path, capsys, content, message):
    genome = tmp_path / "g.fna"
    if content is not None:
        genome.write_bytes(content)
    out = tmp_path / "p.gff3"
    assert main(["predict", str(genome), "--model", str(model_folder), "--output", str(out)]) == 1
    assert message in capsys.readouterr().err
    assert not out.exists()
