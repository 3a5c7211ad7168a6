"""Fits the weights of the gene-finding programs on the validation data, with a trained model's evidence.

Windows that touch are joined into regions again, so that the program sees what it will see in prediction: evidence of
overlapping windows, genes whole. Where training takes no loss, and where the data's own borders cut a gene, nothing is
expected of the program: bases and evidence are blank there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from genet5 import _core
from genet5.data import PackedDataset
from genet5.errors import InputError
from genet5.evaluate.fit import Region, RegionGene, fit_parameters
from genet5.predict.annotate import GENE_PARAMETERS
from genet5.predict.evidence import EvidenceReader

# Regions are cut between genes near this length, and so many bases are used of each taxon. Fitting decodes them several
# hundred times; weights are a few dozen, and thousands of genes fix them.
_REGION_BASES = 200_000
_TAXON_BASES = 3_000_000
_BLANK_LOGIT = -20.0

Interval = tuple[int, int]


@dataclass
class Stretch:
    """A stretch of a genome: bases, its whole coding genes, and the intervals in which nothing is known."""

    species: str
    genetic_code: int
    sequence: bytearray
    genes: list[RegionGene] = field(default_factory=list)
    unknown: list[Interval] = field(default_factory=list)


def _subtract(intervals: list[Interval], kept: list[Interval]) -> list[Interval]:
    """Parts of `intervals` that none of `kept` covers."""
    parts = []
    for begin, end in intervals:
        for low, high in sorted(kept):
            if high <= begin or low >= end:
                continue
            if low > begin:
                parts.append((begin, low))
            begin = max(begin, high)
        if begin < end:
            parts.append((begin, end))
    return parts


def _span(gene: RegionGene) -> Interval:
    return min(chain[0][0] for chain in gene[1]), max(chain[-1][1] for chain in gene[1])


def _joined(dataset: PackedDataset, vocabulary: _core.Vocabulary, segments: list[int]) -> Stretch:
    """One region of segments of a sequence that overlap or touch, in order."""
    first = dataset.segment(segments[0])
    origin = first.start
    region = Stretch(first.species, first.genetic_code, bytearray())
    genes: dict[tuple[str, tuple[Interval, ...]], RegionGene] = {}
    cut: list[Interval] = []
    for index in segments:
        segment = dataset.segment(index)
        begin = segment.start - origin
        region.sequence[begin:] = segment.dna.encode()
        region.unknown += [(begin + low, begin + high) for low, high in segment.ignore]
        told = _core.decode_sentence(segment.sentence.tolist(), segment.end - segment.start, vocabulary)
        for gene in json.loads(told):
            strand = "-" if gene["strand"] == "Reverse" else "+"
            chains = [
                [(begin + part["start"], begin + part["end"]) for part in transcript["cds"]]
                for transcript in gene["transcripts"]
                if transcript["cds"] and not transcript["partial_5"] and not transcript["partial_3"]
            ]
            if chains:
                genes.setdefault((strand, tuple(chains[0])), (strand, chains))
            elif any(transcript["cds"] for transcript in gene["transcripts"]):
                cut.append((begin + gene["span"]["start"], begin + gene["span"]["end"]))
    region.genes = sorted(genes.values(), key=_span)
    region.unknown += cut
    return region


def _pieces(region: Stretch) -> Iterator[Stretch]:
    """The region in pieces of about `_REGION_BASES`, cut where no gene lies."""
    spans = [_span(gene) for gene in region.genes]
    length, begin = len(region.sequence), 0
    while begin < length:
        end = begin + _REGION_BASES
        for low, high in spans:
            if low < end < high:
                end = high
        end = length if end > length - _REGION_BASES // 4 else end
        genes: list[RegionGene] = [
            (strand, [[(low - begin, high - begin) for low, high in chain] for chain in chains])
            for (strand, chains), (low, high) in zip(region.genes, spans, strict=True)
            if begin <= low and high <= end
        ]
        unknown = [(max(low, begin) - begin, min(high, end) - begin) for low, high in region.unknown]
        yield Stretch(
            region.species,
            region.genetic_code,
            region.sequence[begin:end],
            genes,
            [(low, high) for low, high in unknown if low < high],
        )
        begin = end


def regions(dataset: PackedDataset) -> Iterator[Stretch]:
    """The validation data as regions: windows on the forward strand that touch are joined, long ones cut again."""
    columns = dataset.file.segments()
    vocabulary = _core.Vocabulary.from_tokens(dataset.tokens)
    starts, lengths = columns["start"], columns["length"]
    order = np.lexsort((starts, columns["genetic_code"], columns["seqid"], columns["species"]))
    run: list[int] = []
    run_end = 0
    for index in order[~columns["reverse"][order]].tolist():
        names = ("species", "seqid", "genetic_code")
        continues = run and starts[index] <= run_end and all(columns[n][index] == columns[n][run[-1]] for n in names)
        if run and not continues:
            yield from _pieces(_joined(dataset, vocabulary, run))
            run, run_end = [], 0
        end = int(starts[index] + lengths[index])
        if end > run_end:
            # A window inside those before it adds nothing.
            run.append(index)
            run_end = end
    if run:
        yield from _pieces(_joined(dataset, vocabulary, run))


def _chosen(found: list[Stretch]) -> list[Stretch]:
    """Regions of at most `_TAXON_BASES` in all, the species in turn, in an order that is random but always the same."""
    generator = np.random.default_rng(0)
    by_species: dict[str, list[Stretch]] = {}
    for index in generator.permutation(len(found)):
        by_species.setdefault(found[index].species, []).append(found[index])
    chosen, total = [], 0
    while any(by_species.values()):
        for waiting in by_species.values():
            if waiting and total < _TAXON_BASES:
                chosen.append(waiting.pop())
                total += len(chosen[-1].sequence)
        if total >= _TAXON_BASES:
            break
    return chosen


def example(region: Stretch, reader: EvidenceReader) -> Region:
    """The stretch with a model's evidence, both blank where nothing is known."""
    sequence = region.sequence
    evidence = reader.whole(bytes(sequence))
    for begin, end in _subtract(region.unknown, [_span(gene) for gene in region.genes]):
        sequence[begin:end] = b"N" * (end - begin)
        evidence.classes[begin:end, :, 1:] = _BLANK_LOGIT
        evidence.signals[begin:end] = _BLANK_LOGIT
    return Region(bytes(sequence), evidence.classes, evidence.signals, region.genes, region.genetic_code)


def initial_parameters(taxon: str, existing: dict[str, str], priors: dict[str, object] | None) -> str:
    """Where fitting starts for a taxon: the model's own parameters if they are the taxon's, else its defaults.

    `existing` are texts by file name; `priors` the counts of the training data.
    """
    text = None
    for name in (f"gene_parameters.{taxon}.json", GENE_PARAMETERS):
        if name in existing and json.loads(existing[name]).get("taxon") == taxon:
            text = existing[name]
            break
    if text is None:
        text = _core.default_gene_parameters(taxon)
    return _core.gene_parameters_with_priors(text, json.dumps(priors)) if priors else text


def fit(
    reader: EvidenceReader,
    training: PackedDataset,
    validation: PackedDataset,
    existing: dict[str, str],
    tell: Callable[[str], None],
    poll: Callable[[], None],
) -> dict[str, str]:
    """Gene parameters by file name: `gene_parameters.json`, and one more file a taxon where there are several.

    `existing` are the model's parameters before, by file name; `tell` receives lines about what was found; `poll` is
    called often, and what it raises ends the fit.
    """
    taxa = {species["name"]: species["taxon"] for species in validation.metadata["species"]}
    found: dict[str, list[Stretch]] = {}
    for region in regions(validation):
        poll()
        found.setdefault(taxa[region.species], []).append(region)
    # The data's counts are those of all its taxa together: they describe a taxon only where it is alone.
    priors = training.metadata.get("priors") if len(found) == 1 else None
    results: dict[str, str] = {}
    largest = max(found, key=lambda taxon: sum(len(region.sequence) for region in found[taxon]))
    for taxon, all_regions in found.items():
        chosen = _chosen(all_regions)
        rows = []
        for region in chosen:
            poll()
            rows.append(example(region, reader))
        genes = sum(len(region.genes) for region in chosen)
        scores: list[tuple[int, float]] = []

        def follow(
            round_: int, evaluations: int, objective: float, gene_f1: float, into: list[tuple[int, float]] = scores
        ) -> None:
            into.append((evaluations, gene_f1))
            poll()

        initial = initial_parameters(taxon, existing, priors)
        try:
            fitted = fit_parameters(rows, initial, progress=follow)
        except InputError as error:
            tell(f"warning: the gene parameters of {taxon} are not fitted: {error}")
            fitted = initial
        if scores:
            evaluations, gene_f1 = scores[-1]
            bases = sum(len(row.sequence) for row in rows)
            tell(
                f"gene parameters of {taxon} fitted on {genes} genes in {bases:,} bp of validation data: "
                f"gene F1 {gene_f1:.1f}% there ({evaluations} trials)"
            )
        if taxon == largest:
            results[GENE_PARAMETERS] = fitted
        if len(found) > 1:
            results[f"gene_parameters.{taxon}.json"] = fitted
    return results
