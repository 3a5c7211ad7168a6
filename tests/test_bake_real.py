"""Real genomes, baked whole and read back: DNA, token ids and genes against independent readings of the same files."""

from __future__ import annotations

import gzip
import json
import re
from collections import defaultdict

import pytest
from Bio.Data.CodonTable import unambiguous_dna_by_id
from Bio.Seq import Seq
from real_genomes import NAMES, genomes

from genet5 import _core
from genet5.data.bake import BakeOptions, bake

COMPLEMENT = str.maketrans("ACGTN", "TGCAN")


@pytest.fixture(scope="module")
def tokenizer(data, tmp_path_factory):
    file = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    file.write_bytes((data / "dnabert2" / "tokenizer.json").read_bytes())
    _core.append_tokens(file, _core.builtin_tokens())
    return file


def plain_fasta(path, known="ACGT"):
    """Sequences in capitals, letters other than the known as N."""
    sequences = {}
    for record in gzip.decompress(path.read_bytes()).decode().split(">")[1:]:
        header, _, lines = record.partition("\n")
        letters = lines.replace("\n", "").upper()
        sequences[header.split()[0]] = re.sub(f"[^{known}]", "N", letters)
    return sequences


def plain_cds(path, lengths):
    """CDS chains by transcript, as a set of (seqid, strand, parts); parts of one base or more, 0-based, half-open."""
    chains = defaultdict(list)
    for line in gzip.decompress(path.read_bytes()).decode().splitlines():
        columns = line.split("\t")
        if len(columns) == 9 and columns[2] == "CDS" and columns[0] in lengths:
            attributes = dict(pair.split("=", 1) for pair in columns[8].split(";") if "=" in pair)
            # Rows of one CDS share their parent; under a bacterial gene with two products, only their ID.
            for owner in {*attributes.get("Parent", "").split(","), attributes.get("ID", "")} - {""}:
                chains[columns[0], columns[6], owner].append((int(columns[3]) - 1, int(columns[4])))
    return {(seqid, strand, tuple(sorted(parts))) for (seqid, strand, _), parts in chains.items()}


# Of the coding genes that are told, those that are whole in some window of 10 kb; most are, but for long genes and for
# phage lambda's, whose long messengers without a CDS leave whole windows without loss.
WHOLE = {
    "celegans_1pct": 0.92,
    "celegans_chrI_ensembl": 0.93,
    "drosophila_1pct": 0.87,
    "drosophila_chr2R_lifted": 0.92,
    "human_chrY_ensembl75": 0.39,
    "tiny_lambda": 0.73,
}
QUICK = {"ecoli_k12_mg1655", "synechocystis_pcc6803", "schizosaccharomyces_pombe", "mycoplasma_genitalium_g37"}


@pytest.mark.parametrize("genome", genomes(long={*NAMES} - QUICK))
def test_everything_reads_back(genome, data, tokenizer, tmp_path):
    source = data / "genomes" / genome
    folder = genome.removesuffix("_1pct")
    raw = tmp_path / "raw" / folder
    raw.mkdir(parents=True)
    for name in ("genome.fna.gz", "genes.gff3.gz"):
        (raw / name).symlink_to(source / name)
    options = BakeOptions(window_size=10_000, n_workers=2, intergenic_fraction=10, reverse_complement=True)
    report = bake(tmp_path / "raw", tmp_path / "out", tokenizer, options)["species"][folder]
    sequences = plain_fasta(source / "genome.fna.gz")
    chains = plain_cds(source / "genes.gff3.gz", sequences)
    vocabulary = _core.Vocabulary.from_file(tokenizer)
    circular = {row["id"]: row["circular"] for row in report["sequences"]}

    whole, strange = set(), []
    for half in ("training", "validation"):
        file = _core.PackedFile(tmp_path / "out" / f"{half}.packed")
        assert file.verify() > 0 or file.n_segments == 0
        for index in range(file.n_segments):
            segment = file.segment(index)
            sequence, start, length = sequences[segment["seqid"]], segment["start"], segment["length"]
            dna = (sequence + sequence[: max(0, start + length - len(sequence))])[start : start + length]
            assert segment["dna"] == (dna.translate(COMPLEMENT)[::-1] if segment["reverse"] else dna)
            genes = _core.decode_sentence(
                segment["sentence"].tolist(),
                length,
                vocabulary,
                start=start,
                reverse=segment["reverse"],
                sequence_length=len(sequence) if circular[segment["seqid"]] else None,
            )
            for gene in json.loads(genes):
                transcript = gene["transcripts"][0]
                if not transcript["cds"] or transcript["partial_5"] or transcript["partial_3"]:
                    continue
                strand = {"Forward": "+", "Reverse": "-"}[gene["strand"]]
                parts = tuple((part["start"], part["end"]) for part in transcript["cds"])
                chain = (segment["seqid"], strand, parts)
                if chain in chains:
                    whole.add(chain)
                else:
                    strange.append(chain)
    # A gene across the origin may be written with coordinates of the other turn; nothing else is strange.
    for seqid, _, parts in strange:
        assert circular[seqid], (seqid, parts)
        assert parts[0][0] < len(sequences[seqid]) <= parts[-1][1], (seqid, parts)
    # What is taught as a whole gene is one reading frame, by Biopython's tables.
    codes = {row["id"]: row["genetic_code"] for row in report["sequences"]}
    doubled = {seqid: 2 * text if circular[seqid] else text for seqid, text in sequences.items() if seqid in circular}
    for seqid, strand, parts in whole:
        spliced = Seq("".join(doubled[seqid][a:b] for a, b in parts))
        spliced = spliced.reverse_complement() if strand == "-" else spliced
        assert len(spliced) % 3 == 0
        assert spliced.translate(codes[seqid]).find("*") == len(spliced) // 3 - 1, (seqid, strand, parts)
        assert str(spliced[:3]) in unambiguous_dna_by_id[codes[seqid]].start_codons
    told = report["coding_genes_told"]
    assert WHOLE.get(genome, 0.99) * told <= len(whole) <= told, (len(whole), told, len(chains))


@pytest.mark.parametrize("genome", genomes(long={*NAMES} - {"mycoplasma_genitalium_g37"}))
def test_every_baked_window_has_hugging_face_ids(genome, data, tokenizer, tmp_path):
    """Overlapping windows share the tokens of what they have in common: the ids must be those of each window alone."""
    tokenizers = pytest.importorskip("tokenizers")
    theirs = tokenizers.Tokenizer.from_file(str(tokenizer))
    raw = tmp_path / "raw" / "unicellular" / "genome"
    raw.mkdir(parents=True)
    for name in ("genome.fna.gz", "genes.gff3.gz"):
        (raw / name).symlink_to(data / "genomes" / genome / name)
    options = BakeOptions(window_size=10_000, n_workers=2, intergenic_fraction=10, organelles=True, lenient=True)
    bake(tmp_path / "raw", tmp_path / "out", tokenizer, options)
    sequences = plain_fasta(data / "genomes" / genome / "genome.fna.gz", known="A-Z")
    for half in ("training", "validation"):
        file = _core.PackedFile(tmp_path / "out" / f"{half}.packed")
        for begin in range(0, file.n_segments, 256):
            segments = [file.segment(i) for i in range(begin, min(begin + 256, file.n_segments))]
            windows = []
            for segment in segments:
                text, start = sequences[segment["seqid"]], segment["start"]
                end = start + segment["length"]
                windows.append(text[start:end] + text[: max(0, end - len(text))])
            expected = theirs.encode_batch(windows, add_special_tokens=False)
            for segment, one in zip(segments, expected, strict=True):
                assert segment["tokens"].tolist() == one.ids, (segment["seqid"], segment["start"])


def test_priors_are_counted_from_training_genes(data, tokenizer, tmp_path):
    source = data / "genomes" / "mycoplasma_genitalium_g37"
    raw = tmp_path / "raw" / "mycoplasma_genitalium"
    raw.mkdir(parents=True)
    for name in ("genome.fna.gz", "genes.gff3.gz"):
        (raw / name).symlink_to(source / name)
    report = bake(tmp_path / "raw", tmp_path / "out", tokenizer, BakeOptions(window_size=10_000, n_workers=2))
    training = json.loads(_core.PackedFile(tmp_path / "out" / "training.packed").metadata)
    validation = json.loads(_core.PackedFile(tmp_path / "out" / "validation.packed").metadata)
    species = report["species"]["mycoplasma_genitalium"]
    held_out = sum(region["end"] - region["start"] for region in species["validation_regions"])
    share = 1 - held_out / species["bases"]
    genes = training["priors"]["genes"]
    assert 0.9 * share * species["coding_genes_told"] < genes < species["coding_genes_told"]
    assert "priors" not in validation
    assert training["species"][0]["name"] == "mycoplasma_genitalium"
    assert {row["genetic_code"] for row in species["sequences"]} == {4}
