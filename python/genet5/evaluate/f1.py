"""Sensitivity, precision and F1 of predicted gene models, with the longest-ORF baseline beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genet5 import _core
from genet5.errors import InputError

# By level: sn, pr, f1 in percent, and the counts tp, ref, pred. The order of the table is `_core.LEVELS`.
Levels = dict[str, dict[str, float]]

# Shortest open reading frame of the baseline, bp with its stop codon.
BASELINE_LENGTH = 300


@dataclass(frozen=True)
class Evaluation:
    """Levels of the prediction and, where the genome was given, of the longest-ORF baseline."""

    levels: Levels
    baseline: Levels | None = None

    def as_json(self) -> dict[str, Any]:
        """The object that ``eval f1 --json`` writes."""
        result: dict[str, Any] = {"levels": self.levels}
        if self.baseline is not None:
            result["baseline"] = self.baseline
        return result


def evaluate_f1(
    predictions: str | Path,
    reference: str | Path,
    genome: str | Path | None = None,
    seqids: Sequence[str] | None = None,
    coding_only: bool = False,
    genetic_code: int | None = None,
    lenient: bool = False,
) -> Evaluation:
    """Compare two annotation files; the levels are those of :func:`genet5._core.compare`.

    Args:
        predictions: GFF3, GTF or GenBank file of predicted genes.
        reference: The same of the reference.
        genome: FASTA; where given, both files are checked against it and the baseline is scored too.
        seqids: Compare on these sequences only; each must be in the reference (or the genome).
        coding_only: Leave non-coding transcripts out.
        genetic_code: NCBI code of the baseline; the one that the reference states, or 1, where not given.
        lenient: Count malformed lines instead of refusing the file.

    Raises:
        OSError, genet5.errors.FormatError: A file cannot be read.
        genet5.errors.InputError: The two have no sequence in common, or a sequence of ``seqids`` is in neither.
    """
    predicted = _core.Annotation.read(predictions, lenient)
    expected = _core.Annotation.read(reference, lenient)
    sequences = None
    if genome is not None:
        sequences = _core.Genome.read(genome)
        if len(predicted):
            predicted = predicted.check_against(sequences, lenient)
        expected = expected.check_against(sequences, lenient)
    known = set(expected.seqids)
    if sequences is not None:
        known |= set(sequences.ids)
    if seqids is not None:
        missing = [seqid for seqid in seqids if seqid not in known]
        if missing:
            raise InputError(
                f"{reference}: no sequence '{missing[0]}'; it has {', '.join(sorted(known)[:5])}"
                + (", ..." if len(known) > 5 else "")
            )
    used = {gene.seqid for gene in predicted.genes}
    if used and not used & known:
        raise InputError(
            f"{predictions}: none of its sequences ({', '.join(sorted(used)[:3])}) is in {reference} "
            f"({', '.join(sorted(known)[:3])}): the two name their sequences differently"
        )
    chosen = list(seqids) if seqids is not None else None
    levels = _core.compare(predicted, expected, seqids=chosen, coding_only=coding_only)
    baseline = None
    if sequences is not None:
        stated = {
            seqid: code for seqid, code in zip(expected.seqids, expected.genetic_codes, strict=True) if code is not None
        }
        orfs = _core.longest_orfs(
            sequences, BASELINE_LENGTH, genetic_code or 1, stated if genetic_code is None else None
        )
        baseline = _core.compare(orfs, expected, seqids=chosen, coding_only=coding_only)
    return Evaluation(levels, baseline)


def table(evaluation: Evaluation) -> str:
    """The levels as text: one row a level; the baseline's F1 and its difference in the last two columns."""
    baseline = evaluation.baseline
    header = f"{'level':<13} {'Sn':>6} {'Pr':>6} {'F1':>6} {'found':>9} {'reference':>10} {'predicted':>10}"
    if baseline is not None:
        header += f" {'ORF F1':>7} {'gain':>6}"
    rows = [header]
    for name, level in evaluation.levels.items():
        row = (
            f"{name:<13} {level['sn']:>6.1f} {level['pr']:>6.1f} {level['f1']:>6.1f} "
            f"{level['tp']:>9} {level['ref']:>10} {level['pred']:>10}"
        )
        if baseline is not None:
            row += f" {baseline[name]['f1']:>7.1f} {level['f1'] - baseline[name]['f1']:>+6.1f}"
        rows.append(row)
    if baseline is not None:
        rows.append(f"ORF: every ATG..stop of at least {BASELINE_LENGTH} bp, longest first, no overlaps, no learning")
    return "\n".join(rows)


def gene_f1(levels: Mapping[str, Mapping[str, float]]) -> float:
    """F1 of genes with an exact coding sequence, in percent: the one figure to compare by."""
    return float(levels["gene"]["f1"])
