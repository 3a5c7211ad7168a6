"""Gene models from evidence: speed, and gene F1 of the whole way with simple evidence.

Evidence here is no network's: a table of codon pairs inside and outside genes, smoothed over a window, and position
weights around signals, all counted on the chromosomes that are neither fitted on nor tested. It stands for a partly
trained model, and shows what the dynamic program and the fitted weights do with it.

    python benchmarks/decode.py speed
    python benchmarks/decode.py yeast      fitted on III and VIII, tested on I, VI and IX
    python benchmarks/decode.py pombe      fitted on II's first 0.8 Mb, tested on III

Data: GENET5_DATA, by default ../shared/data beside the checkout.
"""

from __future__ import annotations

import argparse
import itertools
import os
import time
from pathlib import Path

import numpy as np

from genet5 import _core
from genet5.evaluate.fit import Region, fit_parameters, region_genes

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("GENET5_DATA", ROOT.parent / "shared" / "data")) / "genomes"
CODE = np.full(256, 4, np.uint8)
for number, letters in enumerate(("Aa", "Cc", "Gg", "Tt")):
    CODE[[ord(letter) for letter in letters]] = number

# Reach of the position weights: bases before and after the base just inside, by signal (start, donor, acceptor, stop).
REACH = {1: (15, 12), 2: (4, 8), 3: (20, 4), 4: (6, 6)}


def oriented(sequence: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Base codes of both strands."""
    return CODE[np.frombuffer(sequence, np.uint8)], CODE[np.frombuffer(_core.reverse_complement(sequence), np.uint8)]


def words(codes: np.ndarray, size: int) -> np.ndarray:
    """Index of the word of `size` bases that begins at each position; the last ones, and unknown bases, read as A."""
    known = np.where(codes < 4, codes, 0).astype(np.int64)
    padded = np.concatenate([known, np.zeros(size, np.int64)])
    index = np.zeros(len(codes), np.int64)
    for i in range(size):
        index = index * 4 + padded[i : i + len(codes)]
    return index


def around(codes: np.ndarray, at: np.ndarray, reach: tuple[int, int]) -> np.ndarray:
    """Bases around positions, [positions, before + after + 1]; 4 past the ends."""
    padded = np.concatenate([np.full(reach[0], 4, np.uint8), codes, np.full(reach[1] + 1, 4, np.uint8)])
    return padded[at[:, None] + np.arange(reach[0] + reach[1] + 1)]


def candidates(codes: np.ndarray) -> dict[int, np.ndarray]:
    """Positions (of the base just inside) where ATG, GT or GC, AG and stop codons stand."""
    two, three = words(codes, 2), words(codes, 3)
    stops = np.flatnonzero(np.isin(three, [48, 50, 56]))
    found = {
        1: np.flatnonzero(three == 14),
        2: np.flatnonzero((two == 11) | (two == 9)),
        3: np.flatnonzero(two == 2) + 1,
        4: stops + 2,
    }
    return {kind: positions[positions < len(codes)] for kind, positions in found.items()}


class Evidence:
    """Tables counted from the genes of some sequences."""

    def __init__(self, genome: _core.Genome, annotation: _core.Annotation, seqids: list[str]) -> None:
        coding = np.full(4096, 1.0)
        other = np.full(4096, 1.0)
        true = {kind: np.ones((sum(reach) + 1, 5)) for kind, reach in REACH.items()}
        false = {kind: np.ones((sum(reach) + 1, 5)) for kind, reach in REACH.items()}
        counts = {kind: [0, 0] for kind in REACH}
        for seqid in seqids:
            sequence = genome.sequence(seqid)
            strands = oriented(sequence)
            length = len(sequence)
            genes = [(s, t[0]) for s, t in region_genes(annotation, seqid, 0, length)]
            taken = np.zeros(length, bool)
            for _, parts in genes:
                taken[parts[0][0] : parts[-1][1]] = True
            for strand, codes in enumerate(strands):
                six = words(codes, 6)
                sites: dict[int, list[int]] = {kind: [] for kind in REACH}
                for s, parts in genes:
                    if (s == "-") != bool(strand):
                        continue
                    ordered = [(length - b, length - a) for a, b in reversed(parts)] if strand else parts
                    at = np.concatenate([np.arange(a, b) for a, b in ordered])
                    spliced = codes[at]
                    np.add.at(coding, words(spliced, 6)[: len(spliced) - 5 : 3], 1)
                    sites[1].append(ordered[0][0])
                    sites[4].append(ordered[-1][1] - 1)
                    for (_, donor), (acceptor, _) in itertools.pairwise(ordered):
                        sites[2].append(donor)
                        sites[3].append(acceptor - 1)
                free = ~(taken[::-1] if strand else taken)
                np.add.at(other, six[free], 1)
                for kind, positions in candidates(codes).items():
                    known = np.array(sorted(set(sites[kind])), np.int64)
                    wrong = np.setdiff1d(positions, known)
                    for table, chosen in ((true, known), (false, wrong)):
                        bases = around(codes, chosen, REACH[kind])
                        for column in range(bases.shape[1]):
                            table[kind][column] += np.bincount(bases[:, column], minlength=5)
                    counts[kind][0] += len(known)
                    counts[kind][1] += len(wrong)
        self.pairs = np.log(coding / coding.sum()) - np.log(other / other.sum())
        self.sites = {
            kind: np.log(true[kind] / true[kind].sum(1, keepdims=True))
            - np.log(false[kind] / false[kind].sum(1, keepdims=True))
            for kind in REACH
        }
        self.prior = {kind: np.log((counts[kind][0] + 1) / counts[kind][1]) for kind in REACH}

    def of(self, sequence: bytes, window: int = 31) -> tuple[np.ndarray, np.ndarray]:
        """`classes` and `signals` [bases, 2, 6]; `window` is in codons."""
        length = len(sequence)
        classes = np.zeros((length, 2, 6), np.float32)
        signals = np.full((length, 2, 6), -10, np.float32)
        kernel = np.ones(window)
        for strand, codes in enumerate(oriented(sequence)):
            six = self.pairs[words(codes, 6)]
            for frame in range(3):
                steps = six[frame::3]
                smooth = np.convolve(steps, kernel, "same")
                bases = np.repeat(smooth, 3)[: length - frame]
                values = np.concatenate([np.full(frame, bases[:1] if len(bases) else 0.0), bases])[:length]
                if strand:
                    classes[:, 1, 1 + (length - frame) % 3] = values[::-1]
                else:
                    classes[:, 0, 1 + frame] = values
            best = classes[:, strand, 1:4].max(1)
            classes[:, strand, 4] = -1 - np.maximum(best, 0)
            for kind, positions in candidates(codes).items():
                bases = around(codes, positions, REACH[kind])
                score = self.prior[kind] + self.sites[kind][np.arange(bases.shape[1]), bases].sum(1)
                at = length - 1 - positions if strand else positions
                signals[at, strand, kind] = score
        return classes, signals


def evaluate(decoder_json: str, genome: _core.Genome, seqids: list[str], evidence: Evidence) -> _core.Annotation:
    """Genes of some sequences."""
    decoder = _core.GeneDecoder(decoder_json)
    found = []
    for seqid in seqids:
        sequence = genome.sequence(seqid)
        found.append(decoder.decode(seqid, sequence, *evidence.of(sequence)))
    return _core.concat_annotations(found)


def row(name: str, levels: dict[str, dict[str, float]]) -> str:
    """Gene, intron and base figures."""
    figures = " ".join(f"{levels[key]['f1']:6.1f}" for key in ("gene", "stop", "cds_base", "intron", "intron_chain"))
    return f"{name:<28} {figures}   genes Sn {levels['gene']['sn']:.1f} Pr {levels['gene']['pr']:.1f}"


def end_to_end(folder: str, train: list[str], fit: list[tuple[str, int, int]], test: list[str]) -> None:
    """Fit weights on some regions and print the figures of others."""
    genome = _core.Genome.read(DATA / folder / "genome.fna.gz")
    annotation = _core.Annotation.read(DATA / folder / "genes.gff3.gz")
    evidence = Evidence(genome, annotation, train)
    counts = _core.collect_priors(annotation, genome, seqids=train)
    initial = _core.gene_parameters_with_priors(_core.default_gene_parameters("unicellular"), counts)
    regions = []
    for seqid, start, end in fit:
        sequence = genome.sequence(seqid)[start:end]
        genes = region_genes(annotation, seqid, start, start + len(sequence))
        regions.append(Region(sequence, *evidence.of(sequence), genes))

    def follow(round_: int, evaluations: int, objective: float, gene_f1: float) -> None:
        print(f"\r  round {round_}, {evaluations} evaluations, objective {objective:.2f}", end="", flush=True)

    begun = time.perf_counter()
    fitted = fit_parameters(regions, initial, threads=2, progress=follow)
    print(f"\nfitted in {time.perf_counter() - begun:.0f} s")
    print(f"{'F1 of':<28} {'gene':>6} {'stop':>6} {'base':>6} {'intron':>6} {'chain':>6}")
    print(row("longest ORF", _core.compare(_core.longest_orfs(genome), annotation, seqids=test)))
    for name, parameters in (("default weights and priors", initial), ("fitted weights", fitted)):
        print(row(name, _core.compare(evaluate(parameters, genome, test, evidence), annotation, seqids=test)))
    print(fitted)


def speed() -> None:
    """Mb/s of the programs on one thread, evidence in memory."""
    rng = np.random.default_rng(0)
    length = 2_000_000
    sequence = rng.choice(np.frombuffer(b"ACGT", np.uint8), length).tobytes()
    classes = rng.normal(-2, 2, (length, 2, 6)).astype(np.float32)
    signals = rng.normal(-2, 2, (length, 2, 6)).astype(np.float32)
    for taxon in ("unicellular", "vertebrates", "prokaryotes"):
        decoder = _core.GeneDecoder(_core.default_gene_parameters(taxon))
        begun = time.perf_counter()
        genes = decoder.decode("c", sequence, classes, signals)
        seconds = time.perf_counter() - begun
        print(f"{taxon}: {length / 1e6 / seconds:.2f} Mb/s, {len(genes)} genes")


def main() -> None:
    """Run one of the benchmarks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["speed", "yeast", "pombe"])
    what = parser.parse_args().what
    if what == "speed":
        speed()
    elif what == "yeast":
        genome = _core.Genome.read(DATA / "saccharomyces_cerevisiae_ncbi" / "genome.fna.gz")
        ids = [seqid for seqid, length in zip(genome.ids, genome.lengths, strict=True) if length > 200_000]
        test = [ids[i] for i in (0, 5, 8)]
        fit = [(ids[i], 0, 10**9) for i in (2, 7)]
        train = [ids[i] for i in (1, 3, 4, 6, 9, 10, 11, 12, 13, 14, 15)]
        end_to_end("saccharomyces_cerevisiae_ncbi", train, fit, test)
    else:
        end_to_end("schizosaccharomyces_pombe", ["I"], [("II", 0, 800_000)], ["III"])


if __name__ == "__main__":
    main()
