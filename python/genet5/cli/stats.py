"""Describe an annotation: genes, exons, introns, lengths, biotypes, and what was left out and why.

With a genome, the quality of the labels too: start and stop codons, splice sites, frames, and genetic codes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from typing import Any

from genet5.cli.extract import add_code_arguments, codes_of

# A species whose coding transcripts are perfect less often than this is poor training data.
POOR_LABELS = 0.95


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("annotation", help="GFF3, GTF or GenBank file")
    parser.add_argument("genome", nargs="?", help="FASTA file of the genome (default: none, and no quality of labels)")
    add_code_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument("--lenient", action="store_true", help="count malformed lines instead of stopping")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    import json

    from genet5.annotation import Annotation, Genome, stats

    codes = codes_of(args.code_for)
    annotation = Annotation.read(args.annotation, args.lenient)
    genome = None
    if args.genome:
        genome = Genome.read(args.genome)
        annotation = annotation.check_against(genome, args.lenient)
    found = stats(annotation, genome, args.genetic_code, codes)
    if args.json:
        json.dump(found, sys.stdout, indent=1)
        print()
    else:
        print("\n".join(lines_of(found)))
    return 0


def _table(title: str, rows: Mapping[str, int], total: int | None = None, most: int = 20) -> list[str]:
    """Counts, largest first, with their share of a total."""
    if not rows:
        return []
    ordered = sorted(rows.items(), key=lambda row: (-row[1], row[0]))
    shown = ordered[:most]
    width = max(len(name) for name, _ in shown)
    lines = ["", title]
    for name, count in shown:
        share = f"  {100 * count / total:5.1f}%" if total else ""
        lines.append(f"  {name:<{width}}  {count:>10,}{share}")
    if len(ordered) > most:
        rest = sum(count for _, count in ordered[most:])
        lines.append(f"  {f'({len(ordered) - most} more)':<{width}}  {rest:>10,}")
    return lines


def _with_examples(title: str, rows: Mapping[str, int], examples: Mapping[str, list[str]]) -> list[str]:
    if not rows:
        return []
    lines = ["", title]
    for name, count in sorted(rows.items(), key=lambda row: (-row[1], row[0])):
        some = ", ".join(examples.get(name, [])[:3])
        lines.append(f"  {count:>9,}  {name}" + (f"  (such as {some})" if some else ""))
    return lines


def lines_of(found: dict[str, Any]) -> list[str]:
    """Readable tables of what :func:`genet5.annotation.stats` returns."""
    lines = [
        f"sequences    {found['sequences']:>10,}",
        f"genes        {found['genes']:>10,}",
        f"transcripts  {found['transcripts']:>10,}",
        f"  coding     {found['coding_transcripts']:>10,}  "
        f"({found['single_exon_coding_transcripts']:,} of a single exon)",
        "",
        f"{'lengths, bp':<12} {'count':>10} {'min':>8} {'median':>8} {'mean':>10} {'max':>10} {'total':>14}",
    ]
    for name in ("gene", "exon", "intron", "cds"):
        row = found[f"{name}_lengths"]
        lines.append(
            f"{name:<12} {row['count']:>10,} {row['min']:>8,} {row['median']:>8,} {row['mean']:>10,.1f} "
            f"{row['max']:>10,} {row['total']:>14,}"
        )
    lines += _table("genes by biotype", found["genes_by_biotype"], found["genes"])
    lines += _table("biotypes that the table lacks, kept as they are", found["unknown_biotypes"])
    lines += _with_examples("remarks and what was left out, by reason", found["left_out"], found["examples"])
    quality = found["quality"]
    if quality is not None:
        lines += _quality_lines(quality)
    return lines


def _quality_lines(quality: dict[str, Any]) -> list[str]:
    total = quality["coding_transcripts"]
    if not total:
        return ["", "warning: no coding transcript on the genome: poor labels to train on"]
    perfect = quality["perfect"]
    # Rounded down: 100.0% are all.
    share = 1000 * perfect // total / 10
    lines = [
        "",
        f"labels: {perfect:,} of {total:,} coding transcripts ({share:.1f}%) start with a start codon, "
        "end with the first stop in frame",
    ]
    lines += _with_examples("the others", quality["faults"], quality["fault_examples"])
    lines += _table("start codons", quality["start_codons"], sum(quality["start_codons"].values()), most=8)
    lines += _table("stop codons", quality["stop_codons"], sum(quality["stop_codons"].values()), most=8)
    lines += _table("splice sites", quality["splice_sites"], sum(quality["splice_sites"].values()), most=8)
    for seqid, fit in quality["genetic_codes"].items():
        if fit["fits_better"] is not None:
            lines += [
                "",
                f"warning: on {seqid}, {fit['with_inner_stops']:,} of {fit['transcripts']:,} coding transcripts have "
                f"stops inside with genetic code {fit['used']}; code {fit['fits_better']} fits better "
                f"(--code_for {seqid}={fit['fits_better']})",
            ]
    if perfect < POOR_LABELS * total:
        lines += ["", f"warning: fewer than {100 * POOR_LABELS:.0f}% are perfect: poor labels to train on"]
    return lines
