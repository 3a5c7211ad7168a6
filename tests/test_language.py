"""The annotation language: what it says, what it refuses, and real genomes.

Genomes are read by a small reader of this file's own, and their reading frames judged by Biopython's codon tables.
"""

from __future__ import annotations

import collections
import doctest
import gzip
import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from Bio.Data import CodonTable
from hypothesis import given, settings
from hypothesis import strategies as st

import genet5.language
from genet5 import _core
from genet5.errors import FormatError, InputError
from genet5.language import (
    Vocabulary,
    base_labels,
    builtin_tokens,
    decode,
    encode,
    gene,
    reasons,
    tell,
    transcript,
    validate,
)

CODES = np.full(256, 4, dtype=np.uint8)
for code, letter in enumerate(b"ACGT"):
    CODES[letter] = code
COMPLEMENT = bytes.maketrans(b"ACGTN", b"TGCAN")


def test_examples_of_the_page_run():
    page = Path(__file__).resolve().parent.parent / "docs" / "language.md"
    results = doctest.testfile(str(page), module_relative=False)
    assert results.attempted > 10
    assert results.failed == 0


# --- Vocabulary ---


def tokenizer_file(folder: Path, tokens: list[str]) -> Path:
    path = folder / "tokenizer.json"
    path.write_text(json.dumps({"model": {"type": "BPE", "vocab": {token: i for i, token in enumerate(tokens)}}}))
    return path


def test_vocabulary_of_a_grown_dnabert2_tokenizer(data, tmp_path):
    document = json.loads((data / "dnabert2" / "tokenizer.json").read_text())
    count = len(document["model"]["vocab"])
    added = [*builtin_tokens(), "<my_RNA>"]
    document["added_tokens"] += [{"id": count + i, "content": token} for i, token in enumerate(added)]
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(document))
    vocabulary = Vocabulary.from_file(path)
    assert len(vocabulary) == count + len(added)
    assert vocabulary.tokens[count:] == added
    assert vocabulary.biotypes[-1] == "my_RNA"
    assert "protein_coding" in vocabulary.biotypes
    assert vocabulary.role(0) == "other"
    assert vocabulary.role(count) == "gap"
    assert vocabulary.ids(["<bos>", "<999>"]) == [count + 4, count + len(builtin_tokens()) - 1]


def test_a_tokenizer_without_the_language_is_refused(data, tmp_path):
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    with pytest.raises(FormatError, match="lacks"):
        Vocabulary.from_file(data / "dnabert2" / "tokenizer.json")
    with pytest.raises(FormatError, match=r"not a byte-pair tokenizer\.json"):
        Vocabulary.from_file(broken)
    with pytest.raises(FileNotFoundError):
        Vocabulary.from_file(tmp_path / "absent.json")
    with pytest.raises(FormatError, match="<stop>"):
        Vocabulary.from_file(tokenizer_file(tmp_path, [token for token in builtin_tokens() if token != "<stop>"]))


# --- What is refused, and why ---

SEQUENCE = b"CCCCC" + b"ATGGCAGCATAA" + b"CCCCCCCC" + b"ATGTAA" + b"CCCC"


def part(start: int, end: int) -> dict[str, int]:
    return {"start": start, "end": end}


def said(genes, sequence=SEQUENCE, **options):
    vocabulary = Vocabulary.builtin()
    sentence = encode(genes, sequence, 0, len(sequence), vocabulary, **options)
    return " ".join(token.strip("<>") for token in vocabulary.texts(sentence.tokens)[3:-1]), sentence


def coding(start: int, end: int, strand: str = "+", **fields):
    return gene(strand, [transcript([part(start, end)], [part(start, end)], **fields)])


@pytest.mark.parametrize(
    ("one", "reason"),
    [
        (coding(4, 17), "no_start_codon"),
        (coding(5, 14), "no_stop_codon"),
        (coding(5, 16), "length_not_multiple_of_3"),
        (coding(5, 31), "length_not_multiple_of_3"),
        (coding(4, 17, partial_5=True), "partial_inside"),
        (coding(5, 14, partial_3=True), "partial_inside"),
        (coding(5, 17, flags=genet5.language.flags(slippage=True)), "slippage"),
        (gene("+", [transcript([part(5, 17)], [part(5, 9), part(11, 17)])]), "slippage"),
        (gene("+", [transcript([part(5, 17)], [part(5, 9), part(13, 17)])]), "cds_outside_exons"),
        (gene("+", [transcript([part(5, 12), part(12, 17)])]), "exons_overlap"),
        (gene("+", [transcript([part(20, 60)])]), "outside_sequence"),
        (gene(".", [transcript([part(5, 17)])]), "strand_unknown"),
        (gene("+", [transcript([part(5, 17)], biotype="protein_coding")]), "missing_cds"),
        (gene("+", [transcript([part(5, 17)], partial_5=True)]), "partial_inside"),
        (coding(5, 17) | {"flags": genet5.language.flags(pseudogene=True)}, "pseudogene"),
        (coding(5, 17) | {"flags": genet5.language.flags(mobile_element=True)}, "mobile_element"),
        (coding(5, 17) | {"flags": genet5.language.flags(trans_splicing=True)}, "trans_splicing"),
    ],
)
def test_reasons(one, reason):
    text, sentence = said([one])
    assert text == ""
    assert [name for _, _, name in sentence.ignored] == [reason]
    assert reason in reasons()
    unsaid = reason not in ("pseudogene", "mobile_element")
    assert sentence.masked_from == (3 if unsaid else len(sentence.tokens))


def test_internal_stops():
    sequence = b"CC" + b"ATGTGAGCATAA" + b"CC"
    assert said([coding(2, 14)], sequence)[1].ignored[0][2] == "internal_stop"
    selenoprotein = coding(2, 14, flags=genet5.language.flags(selenoprotein=True))
    assert said([selenoprotein], sequence)[1].ignored[0][2] == "selenoprotein"
    assert said([coding(2, 14)], sequence, genetic_code=4)[0] == "+ protein_coding start 0 2 stop 0 14"


def test_ends_at_the_end_of_a_sequence():
    # 1 base before a CDS whose start is missing: it counts as the sequence's end, and the CDS reaches to it.
    sequence = b"CGCAGCATAACCC"
    first = coding(1, 10, cds_phase=0, partial_5=True)
    assert said([first], sequence)[0] == "+ protein_coding cds2 stop 0 10"
    assert said([coding(1, 10)], sequence)[0] == "+ protein_coding cds2 stop 0 10", "missing start, not called partial"
    assert said([first], sequence, circular=True)[1].ignored[0][2] == "partial_inside"
    # A complete CDS whose transcript is called partial in the middle of a sequence.
    assert said([coding(5, 17, partial_5=True, partial_3=True)])[0] == "+ protein_coding start 0 5 stop 0 17"
    # Its UTR is open at the sequence's end, the CDS is not.
    utr = gene("+", [transcript([part(0, 20)], [part(5, 17)], partial_5=True)])
    assert said([utr])[0] == "+ protein_coding utr5 start 0 5 stop 0 17 tts 0 20"
    assert said([utr], utr=False)[0] == "+ protein_coding start 0 5 stop 0 17"


def test_a_sentence_is_masked_where_a_gene_is_missing():
    genes = [coding(5, 17), coding(20, 24), coding(25, 31)]
    text, sentence = said(genes, utr=False)
    assert text == "+ protein_coding start 0 5 stop 0 17 + protein_coding start 0 25 stop 0 31"
    assert sentence.masked_from == 3 + 8
    assert sentence.ignored == [(20, 24, "no_start_codon")]


def test_isoforms():
    canonical = transcript([part(2, 20)], [part(5, 17)])
    longer = transcript([part(1, 20)], [part(5, 17)])
    noncoding = transcript([part(0, 20)])
    wrong = transcript([part(2, 20)], [part(6, 17)])
    genes = [gene("+", [canonical, wrong, longer, canonical, noncoding])]
    first = "+ protein_coding tss 0 2 start 0 5 stop 0 17 tts 0 20"
    third = "ALT + ncRNA tss 0 0 tts 0 20"
    second = "ALT + protein_coding tss 0 1 start 0 5 stop 0 17 tts 0 20"
    assert said(genes)[0] == f"{first} {third} {second}"
    assert said(genes, isoforms=1)[0] == first
    assert said(genes, noncoding=False)[0] == f"{first} {second}"
    assert said(genes, utr=False, noncoding=False)[0] == "+ protein_coding start 0 5 stop 0 17"
    # A gene is not its non-coding isoforms where the coding ones are at fault.
    assert said([gene("+", [wrong, noncoding])])[1].ignored == [(0, 20, "no_start_codon")]
    assert said([gene("+", [noncoding])], noncoding=False)[1].ignored == []


def test_a_fault_of_one_isoform_is_not_the_genes():
    shifted = transcript([part(5, 17)], [part(5, 9), part(11, 17)], flags=genet5.language.flags(slippage=True))
    one = gene("+", [shifted, transcript([part(5, 17)], [part(5, 17)])], flags=genet5.language.flags(slippage=True))
    assert said([one])[0] == "+ protein_coding start 0 5 stop 0 17"


def test_circular_sequences():
    sequence = b"GCATAA" + b"C" * 20 + b"CATG"
    across = coding(27, 36)
    vocabulary = Vocabulary.builtin()
    sentence = encode([across], sequence, 20, 20, vocabulary, circular=True)
    assert " ".join(vocabulary.texts(sentence.tokens)[3:-1]) == "<+> <protein_coding> <start> <0> <7> <stop> <0> <16>"
    [back] = decode(sentence.tokens, 20, vocabulary, start=20, sequence_length=30)
    assert back["span"] == part(27, 36)
    # Window of the whole sequence: the gene is cut at both edges.
    sentence = encode([across], sequence, 0, 30, vocabulary, circular=True)
    whole = "<+> <protein_coding> <cds0> <stop> <0> <6> <+> <protein_coding> <start> <0> <27> <cds2>"
    assert " ".join(vocabulary.texts(sentence.tokens)[3:-1]) == whole


def test_wrong_arguments_are_refused():
    vocabulary = Vocabulary.builtin()
    with pytest.raises(InputError, match="does not fit"):
        encode([], SEQUENCE, 0, len(SEQUENCE) + 1, vocabulary)
    with pytest.raises(InputError, match="no genetic code 7"):
        encode([], SEQUENCE, 0, 5, vocabulary, genetic_code=7)
    with pytest.raises(InputError, match="my_RNA"):
        encode([gene("+", [transcript([part(2, 9)], biotype="my_RNA")])], SEQUENCE, 0, 20, vocabulary)
    with pytest.raises(InputError, match="cds_phase is 3"):
        encode([coding(5, 17, cds_phase=3)], SEQUENCE, 0, 20, vocabulary)
    with pytest.raises(InputError, match=r"17\.\.5 is empty or backwards"):
        encode([coding(17, 5)], SEQUENCE, 0, 20, vocabulary)
    with pytest.raises(InputError, match="no gene models"):
        encode([{"id": "x"}], SEQUENCE, 0, 20, vocabulary)
    empty = vocabulary.ids(["<bos>", "<UTR>", "<ALL>", "<eos>"])
    with pytest.raises(InputError, match="beyond any sequence"):
        decode(empty, 10, vocabulary, start=2**63)
    with pytest.raises(InputError, match="token 0"):
        decode([], 10, vocabulary)
    with pytest.raises(InputError, match="outside"):
        base_labels(empty, np.zeros(5, np.uint8), vocabulary, ignore=[(3, 6)])


@given(st.lists(st.integers(0, 1100), max_size=30), st.integers(1, 2000))
@settings(max_examples=300, deadline=None)
def test_any_tokens_are_refused_or_read(tokens, length):
    vocabulary = Vocabulary.builtin()
    fault = validate(tokens, length, vocabulary)
    if fault is None:
        decode(tokens, length, vocabulary)
    else:
        assert 0 <= fault[0] <= len(tokens)
        assert fault[1]


# --- Real genomes ---


@dataclass
class Model:
    """A transcript as the file states it; coordinates 0-based, half-open."""

    seqid: str
    strand: str
    cds: list[tuple[int, int, int]] = field(default_factory=list)
    exons: list[tuple[int, int]] = field(default_factory=list)


def read_genome(folder: Path) -> dict[str, bytes]:
    sequences: dict[str, list[bytes]] = {}
    name = ""
    with gzip.open(folder / "genome.fna.gz") as lines:
        for line in lines:
            if line.startswith(b">"):
                name = line[1:].split()[0].decode()
                sequences[name] = []
            else:
                sequences[name].append(line.strip().upper())
    return {name: b"".join(parts) for name, parts in sequences.items()}


def read_models(folder: Path, key: str) -> dict[str, Model]:
    """Coding transcripts by the `key` attribute of their CDS rows; exons from exon rows, else from CDS and UTR rows.

    Pseudogenes, and what PomBase calls CDS under RNA genes, are left out.
    """
    models: dict[str, Model] = {}
    types: dict[str, str] = {}
    exons: dict[str, list[tuple[int, int]]] = collections.defaultdict(list)
    untranslated: dict[str, list[tuple[int, int]]] = collections.defaultdict(list)
    with gzip.open(folder / "genes.gff3.gz", "rt") as lines:
        for line in lines:
            fields = line.rstrip("\n").split("\t")
            if len(fields) < 9:
                continue
            attributes = dict(pair.split("=", 1) for pair in fields[8].split(";") if "=" in pair)
            start, end = int(fields[3]) - 1, int(fields[4])
            types[attributes.get("ID", "")] = fields[2]
            if fields[2] == "CDS" and attributes.get("pseudo") != "true":
                model = models.setdefault(attributes[key], Model(fields[0], fields[6]))
                model.cds.append((start, end, int(fields[7])))
            elif fields[2] == "exon" and "Parent" in attributes:
                exons[attributes["Parent"]].append((start, end))
            elif fields[2].endswith("_prime_UTR"):
                untranslated[attributes["Parent"]].append((start, end))
    for name, model in models.items():
        model.cds.sort()
        parts = exons.get(name) or [(start, end) for start, end, _ in model.cds] + untranslated[name]
        for start, end in sorted(parts):
            if model.exons and start <= model.exons[-1][1]:
                model.exons[-1] = (model.exons[-1][0], max(end, model.exons[-1][1]))
            else:
                model.exons.append((start, end))
    return {name: model for name, model in models.items() if types[name] in ("mRNA", "CDS", "gene")}


def spliced(model: Model, sequence: bytes) -> bytes:
    cds = b"".join(sequence[start:end] for start, end, _ in model.cds)
    return cds if model.strand == "+" else cds.translate(COMPLEMENT)[::-1]


def fault_of(model: Model, sequence: bytes, table: CodonTable.CodonTable) -> str | None:
    """By Biopython's table, what is wrong with a CDS."""
    if any(b[0] - a[1] < 3 for a, b in zip(model.cds, model.cds[1:], strict=False)):
        return "slippage"
    cds = spliced(model, sequence).decode()
    codons = [cds[i : i + 3] for i in range(0, len(cds), 3)]
    if codons[0] not in table.start_codons:
        return "no_start_codon"
    if len(cds) % 3:
        return "length_not_multiple_of_3"
    if codons[-1] not in table.stop_codons:
        return "no_stop_codon"
    if any(codon in table.stop_codons for codon in codons[:-1]):
        return "internal_stop"
    return None


def as_gene(model: Model) -> dict:
    parts = model.cds if model.strand == "+" else model.cds[::-1]
    cds = [part(start, end) for start, end, _ in model.cds]
    one = transcript([part(start, end) for start, end in model.exons], cds, cds_phase=parts[0][2])
    return gene(model.strand, [one])


def expected_classes(model: Model, start: int, length: int) -> np.ndarray:
    """Classes of the model's strand in a window that holds it whole, straight from its coordinates."""
    classes = np.zeros(length, dtype=np.int8)
    classes[model.exons[0][0] - start : model.exons[-1][1] - start] = 4
    for left, right in model.exons:
        classes[left - start : right - start] = 5
    positions = np.concatenate([np.arange(left, right) for left, right, _ in model.cds]) - start
    # Index of each base within its codon, counted left to right; complete CDS: the same from either end.
    in_codon = np.arange(len(positions)) % 3
    classes[positions] = 1 + (positions - in_codon) % 3
    return classes


GENOMES = {
    # folder: key of a transcript's CDS rows, genetic code, UTRs
    "saccharomyces_cerevisiae_ncbi": ("Parent", 1, True),
    "schizosaccharomyces_pombe": ("Parent", 1, True),
    "ecoli_k12_mg1655": ("ID", 11, False),
    "celegans_chrI_ensembl": ("Parent", 1, True),
}

# Transcripts by what became of them, introns, and signals labelled true. Starts and stops that lack a label are split
# by an intron or have an odd codon; donors and acceptors that lack one are not GT, GC (AG).
EXPECTED: dict[str, dict[str, int]] = {
    "saccharomyces_cerevisiae_ncbi": {
        "said": 5936,
        "slippage": 47,  # Ty elements, and three genes of their own
        "introns": 280,
        "start": 5928,
        "donor": 279,
        "acceptor": 278,
        "stop": 5936,
    },
    "schizosaccharomyces_pombe": {
        "said": 5090,
        "slippage": 34,
        "length_not_multiple_of_3": 3,
        "no_start_codon": 1,
        "no_stop_codon": 1,
        "open at the end of the sequence, else length_not_multiple_of_3": 1,
        "open at the end of the sequence, else no_start_codon": 1,
        "no sequence": 18,
        "introns": 5246,
        "start": 5084,
        "donor": 5243,
        "acceptor": 5242,
        "stop": 5088,
    },
    "ecoli_k12_mg1655": {
        "said": 4292,
        "slippage": 3,
        "internal_stop": 3,  # the selenoproteins, which a file that is read whole says
        "introns": 0,
        "start": 4286,
        "donor": 0,
        "acceptor": 0,
        "stop": 4292,
    },
    "celegans_chrI_ensembl": {
        "said": 4681,
        "no_start_codon": 9,
        "slippage": 3,
        "introns": 29369,
        "start": 4671,
        "donor": 29309,
        "acceptor": 29310,
        "stop": 4671,
    },
}


@pytest.mark.parametrize("species", GENOMES)
def test_every_gene_of_a_genome(data, species):
    """Said exactly where Biopython finds a valid reading frame; then read back unchanged, and labelled in frame."""
    key, code, utr = GENOMES[species]
    folder = data / "genomes" / species
    sequences = read_genome(folder)
    table = CodonTable.unambiguous_dna_by_id[code]
    vocabulary = Vocabulary.builtin()
    counts: collections.Counter[str] = collections.Counter()
    for name, model in read_models(folder, key).items():
        sequence = sequences.get(model.seqid)
        if sequence is None:
            counts["no sequence"] += 1
            continue
        fault = fault_of(model, sequence, table)
        start = max(0, model.exons[0][0] - 50)
        length = min(len(sequence), model.exons[-1][1] + 50) - start
        sentence = encode([as_gene(model)], sequence, start, length, vocabulary, genetic_code=code, utr=utr)
        if sentence.ignored:
            reason = sentence.ignored[0][2]
            counts[reason] += 1
            assert reason == fault, name
            continue
        counts["said"] += 1
        if fault is not None:
            counts[f"open at the end of the sequence, else {fault}"] += 1
            continue
        assert validate(sentence.tokens, length, vocabulary) is None
        [back] = decode(sentence.tokens, length, vocabulary, start=start)
        [one] = back["transcripts"]
        assert back["strand"] == {"+": "Forward", "-": "Reverse"}[model.strand]
        assert [(cds["start"], cds["end"]) for cds in one["cds"]] == [cds[:2] for cds in model.cds], name
        assert [(exon["start"], exon["end"]) for exon in one["exons"]] == model.exons, name
        assert not one["partial_5"]
        assert not one["partial_3"]
        assert one["cds_phase"] == 0

        bases = CODES[np.frombuffer(sequence, np.uint8, length, start)]
        classes, signals = base_labels(sentence.tokens, bases, vocabulary, genetic_code=code)
        strand = 0 if model.strand == "+" else 1
        assert not classes[:, 1 - strand].any()
        assert np.array_equal(classes[:, strand], expected_classes(model, start, length)), name
        assert not (signals[:, 1 - strand] == 1).any()
        true = (signals[:, strand] == 1).sum(axis=0)
        introns = len(model.exons) - 1
        assert true[1] <= 1
        assert true[4] <= 1
        assert true[2] <= introns
        assert true[3] <= introns
        counts["introns"] += introns
        counts.update({"start": int(true[1]), "donor": int(true[2]), "acceptor": int(true[3]), "stop": int(true[4])})
    assert dict(counts) == EXPECTED[species]


@pytest.mark.parametrize(
    ("species", "step"), [("saccharomyces_cerevisiae_ncbi", 10_000), ("celegans_chrI_ensembl", 70_000)]
)
def test_windows_of_a_genome(data, species, step):
    """Windows of 10,000 bp with all of their genes: what is whole comes back, and both strands say the same."""
    key, code, utr = GENOMES[species]
    folder = data / "genomes" / species
    sequences = read_genome(folder)
    vocabulary = Vocabulary.builtin()
    table = CodonTable.unambiguous_dna_by_id[code]
    by_sequence: dict[str, list[Model]] = collections.defaultdict(list)
    for model in read_models(folder, key).values():
        if model.seqid in sequences:
            by_sequence[model.seqid].append(model)
    whole = cut = 0
    for seqid, models in by_sequence.items():
        sequence = sequences[seqid]
        starts = np.array([model.exons[0][0] for model in models])
        ends = np.array([model.exons[-1][1] for model in models])
        for start in range(0, len(sequence) - 1, step):
            length = min(10_000, len(sequence) - start)
            here = [models[i] for i in np.flatnonzero((starts < start + length) & (ends > start))]
            genes = [as_gene(model) for model in here]
            sentence = encode(genes, sequence, start, length, vocabulary, utr=utr)
            mirrored = encode(genes, sequence, start, length, vocabulary, utr=utr, reverse=True)
            assert validate(sentence.tokens, length, vocabulary) is None
            assert validate(mirrored.tokens, length, vocabulary) is None

            back = decode(sentence.tokens, length, vocabulary, start=start)
            turned = decode(mirrored.tokens, length, vocabulary, start=start, reverse=True)
            assert facts(back) == facts(turned)
            said = [model for model in here if fault_of(model, sequence, table) is None]
            inside = {
                (model.strand, tuple(model.exons), tuple(cds[:2] for cds in model.cds))
                for model in said
                if start <= model.exons[0][0] and model.exons[-1][1] <= start + length
            }
            found = {fact[:3] for fact in facts(back) if not any(fact[3:])}
            assert found == inside
            whole += len(inside)
            cut += len(facts(back)) - len(found)

            codes = CODES[np.frombuffer(sequence, np.uint8, length, start)]
            ignore = [(left, right) for left, right, _ in sentence.ignored]
            classes, signals = base_labels(sentence.tokens, codes, vocabulary, ignore=ignore)
            reverse_codes = np.where(codes < 4, 3 - codes, 4)[::-1]
            ignore = [(left, right) for left, right, _ in mirrored.ignored]
            other, other_signals = base_labels(mirrored.tokens, reverse_codes, vocabulary, ignore=ignore)
            frames = np.array([0, 1 + length % 3, 1 + (length - 1) % 3, 1 + (length - 2) % 3, 4, 5, -1], dtype=np.int8)
            assert np.array_equal(frames[other[::-1, ::-1]], classes)
            assert np.array_equal(other_signals[::-1, ::-1], signals)
            no_stop_in_frame(classes, signals, codes)
    assert whole > 400
    assert cut > 100


def facts(genes: list[dict]) -> set[tuple]:
    """Strand, exons, CDS and open ends of all transcripts."""
    return {
        (
            {"Forward": "+", "Reverse": "-"}[one["strand"]],
            tuple((exon["start"], exon["end"]) for exon in each["exons"]),
            tuple((cds["start"], cds["end"]) for cds in each["cds"]),
            each["partial_5"],
            each["partial_3"],
        )
        for one in genes
        for each in one["transcripts"]
    }


def no_stop_in_frame(classes: np.ndarray, signals: np.ndarray, codes: np.ndarray) -> None:
    """Whole codons that labels call CDS in their own frame are no stop codons, but for true stops."""
    index = 16 * codes[:-2].astype(int) + 4 * codes[1:-1] + codes[2:]
    known = np.maximum(np.maximum(codes[:-2], codes[1:-1]), codes[2:]) < 4
    positions = np.arange(len(index))
    for strand, stops in ((0, (48, 50, 56)), (1, (60, 28, 52))):  # TAA TAG TGA, and TTA CTA TCA
        label = classes[:, strand]
        whole = (label[:-2] == label[1:-1]) & (label[1:-1] == label[2:]) & (label[:-2] == 1 + positions % 3)
        stop = whole & known & np.isin(index, stops)
        labels = signals[2:, 0, 4] if strand == 0 else signals[:-2, 1, 4]
        assert not (stop & (labels == 0)).any()


@pytest.mark.parametrize(
    ("species", "codes", "genes", "transcripts"),
    [
        (
            "saccharomyces_cerevisiae_sgd",
            {"chrmt": 3},
            {"said": 7022, "mobile_element": 91, "pseudogene": 18, "slippage": 3},
            {},
        ),
        (
            "saccharomyces_cerevisiae_ncbi",
            None,
            {"said": 6334, "pseudogene": 18, "slippage": 47},
            {},
        ),
        (
            "ecoli_k12_mg1655",
            None,
            {"said": 4490, "pseudogene": 145, "slippage": 1, "selenoprotein": 3},
            {"slippage": 2},  # dnaX and copA have products without the frameshift, prfB has none
        ),
        (
            "celegans_chrI_ensembl",
            None,
            {"said": 4008, "pseudogene": 188, "no_start_codon": 7, "slippage": 1},
            {"no_start_codon": 2, "slippage": 2},
        ),
    ],
)
def test_every_gene_as_the_reader_gives_it(data, species, codes, genes, transcripts):
    """Files as ``genet5.annotation`` reads them: what is said, and why the rest is not."""
    folder = data / "genomes" / species
    genome = _core.Genome.read(folder / "genome.fna.gz")
    annotation = _core.Annotation.read(folder / "genes.gff3.gz").check_against(genome)
    told, dropped = tell(annotation, genome, codes=codes)
    assert dict(collections.Counter(what for _, what in told)) == genes
    assert dict(collections.Counter(what for _, what in dropped)) == transcripts

    # The same genes one by one, through a window.
    vocabulary = Vocabulary.builtin()
    by_seqid = dict(zip(annotation.seqids, annotation.genetic_codes, strict=True)) | (codes or {})
    for one, (_, what) in list(zip(annotation.genes, told, strict=True))[::20]:
        sequence, code = genome.sequence(one.seqid), by_seqid[one.seqid] or 1
        start, end = max(0, one.start - 5), min(len(sequence), one.end + 5)
        sentence = encode([one], sequence, start, end - start, vocabulary, genetic_code=code)
        assert [reason for _, _, reason in sentence.ignored] == ([] if what == "said" else [what])
        assert len(decode(sentence.tokens, end - start, vocabulary)) == (what == "said")


@pytest.mark.parametrize(
    ("species", "seqid", "taxon", "code"),
    [("ecoli_k12_mg1655", "NC_000913.3", "prokaryotes", 11), ("schizosaccharomyces_pombe", "III", "unicellular", 1)],
)
def test_labels_decode_to_the_genes(data, species, seqid, taxon, code):
    """Labels of windows, joined in the frames of the sequence and taken as evidence, give the genes back.

    Genes that overlap others by much are a matter of the program, not of labels; so are short ones and odd starts.
    """
    folder = data / "genomes" / species
    genome = _core.Genome.read(folder / "genome.fna.gz")
    annotation = _core.Annotation.read(folder / "genes.gff3.gz").check_against(genome)
    length, window = 300_000, 10_000
    sequence = genome.sequence(seqid)[:length]
    genes = [one for one in annotation.genes if one.seqid == seqid and one.end <= length]
    vocabulary = Vocabulary.builtin()
    classes = np.zeros((length, 2, 6), dtype=np.float32)
    signals = np.zeros((length, 2, 6), dtype=np.float32)
    for start in range(0, length, window):
        here = [one for one in genes if one.start < start + window and one.end > start]
        sentence = encode(here, sequence, start, window, vocabulary, genetic_code=code, utr=False, noncoding=False)
        codes = CODES[np.frombuffer(sequence, np.uint8, window, start)]
        ignore = [(left, right) for left, right, _ in sentence.ignored]
        labels, true = base_labels(sentence.tokens, codes, vocabulary, genetic_code=code, ignore=ignore)
        in_frame = (labels >= 1) & (labels <= 3)
        labels = np.where(in_frame, 1 + (labels - 1 + start % 3) % 3, labels)
        for value in range(1, 6):
            classes[start : start + window, :, value] = np.where(labels == value, 8.0, -8.0)
        classes[start : start + window][labels == -1] = 0.0
        signals[start : start + window] = np.select([true == 1, true == 0], [8.0, -8.0], 0.0)
    decoder = _core.GeneDecoder(_core.default_gene_parameters(taxon))
    predicted = decoder.decode(seqid, sequence, classes, signals, code)
    found = {(one.strand, tuple(each.cds)) for one in predicted.genes for each in one.transcripts}
    told = dict(tell(annotation, genome, genetic_code=code)[0])
    coding = [
        one
        for one in genes
        if told[one.id] == "said" and sum(end - start for start, end in one.transcripts[0].cds) >= 120
    ]
    lost = [one.id for one in coding if not any((one.strand, tuple(each.cds)) in found for each in one.transcripts)]
    assert len(coding) > 90
    assert len(lost) <= 0.05 * len(coding), lost
    assert len(predicted) <= 1.05 * len(coding)
