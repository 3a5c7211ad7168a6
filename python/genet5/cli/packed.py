"""Inspect, verify, subset, merge, split and shuffle packed files.

  info     what a file holds: species, tokenizer, sizes, flags, history
  verify   reads everything and holds it against the checksums
  head     shows samples: place in the genome, DNA, sentence, and the gene models that it says
  stats    windows, lengths, genes and biotypes by species
  subset   copies a random share of the samples
  merge    joins files
  split    deals the samples into several files
  shuffle  writes the samples in random order

Files written are whole or absent, and carry the checksums of what they were made from.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genet5.data import PackedDataset, PackedSegment


# Bits of a token's track, and what they say of it.
TRACKS = {
    1: "in a hinted intron",
    2: "of a donor",
    4: "of an acceptor",
    8: "hinted on the reverse strand",
    16: "soft-masked",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One subcommand for each thing to do."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    def action(name: str, summary: str) -> argparse.ArgumentParser:
        return actions.add_parser(name, help=summary, description=summary, allow_abbrev=False)

    info = action("info", "Print what a packed file holds.")
    info.add_argument("file", metavar="FILE", type=Path, help="packed file")

    verify = action("verify", "Read packed files and hold everything against the checksums.")
    verify.add_argument("files", metavar="FILE", type=Path, nargs="+", help="packed files")

    head = action("head", "Show samples as the model is taught them.")
    head.add_argument("file", metavar="FILE", type=Path, help="packed file")
    head.add_argument("--count", "-n", type=int, default=1, metavar="N", help="number of samples to show (default: 1)")
    head.add_argument("--sample", type=int, default=0, metavar="N", help="first sample to show, from 0 (default: 0)")
    head.add_argument(
        "--bases", type=int, default=240, metavar="BP", help="bases of each window to print, 0 for all (default: 240)"
    )

    stats = action("stats", "Count windows, lengths, genes and biotypes by species.")
    stats.add_argument("file", metavar="FILE", type=Path, help="packed file")

    subset = action("subset", "Copy a random share of the samples; they keep their order.")
    from genet5.cli import subset as subset_command

    subset_command.add_arguments(subset)

    merge = action("merge", "Join packed files in the order given.")
    merge.add_argument("inputs", metavar="FILE", type=Path, nargs="+", help="packed files")
    merge.add_argument("output", metavar="OUT", type=Path, help="packed file to write; it must not exist yet")

    split = action(
        "split",
        "Deal the samples at random into several files. Windows overlap, so for validation use what `bake` holds out.",
    )
    split.add_argument("file", metavar="FILE", type=Path, help="packed file")
    split.add_argument(
        "outputs", metavar="OUT", type=Path, nargs="+", help="packed files to write, two or more; others are replaced"
    )
    split.add_argument(
        "--weights", metavar="A,B", help="relative sizes of the files, as in 9,1 (default: all of the same size)"
    )
    split.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the choice (default: 0)")

    shuffle = action("shuffle", "Write the samples in random order.")
    shuffle.add_argument("file", metavar="FILE", type=Path, help="packed file")
    shuffle.add_argument(
        "output", metavar="OUT", type=Path, help="packed file to write, not FILE; another that is there is replaced"
    )
    shuffle.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the order (default: 0)")


def run(args: argparse.Namespace) -> int:
    """Do what was asked."""
    from genet5.errors import InputError

    if getattr(args, "seed", 0) < 0:
        raise InputError("--seed must not be negative")
    return int(globals()[f"_{args.action}"](args))


def table(rows: Sequence[Sequence[Any]], header: Sequence[str]) -> str:
    """Columns of text: the first to the left, numbers to the right."""

    def cell(value: Any) -> str:
        return f"{value:,}" if isinstance(value, int) else f"{value:,.1f}" if isinstance(value, float) else str(value)

    cells = [list(header), *([cell(value) for value in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    lines = []
    for row in cells:
        first, *others = (
            text.ljust(width) if i == 0 else text.rjust(width)
            for i, (text, width) in enumerate(zip(row, widths, strict=True))
        )
        lines.append("  ".join([first, *others]).rstrip())
    return "\n".join(lines)


def _bytes(count: int) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:,.1f} {unit}" if unit != "bytes" else f"{count} bytes"
        count /= 1000  # type: ignore[assignment]
    raise AssertionError("unreachable")


def _info(args: argparse.Namespace) -> int:
    from genet5.data import PackedDataset

    dataset = PackedDataset(args.file)
    file, metadata = dataset.file, dataset.metadata
    samples = file.samples()
    tokens, bases = int(samples["tokens"].sum()), int(samples["bases"].sum())
    print(f"{args.file}: {_bytes(file.file_bytes)}, fingerprint {file.fingerprint}")
    print(f"  samples    {len(file):,} of {file.n_segments:,} windows")
    print(f"  DNA        {bases:,} bp in {tokens:,} tokens ({bases / max(tokens, 1):.2f} bp a token)")
    print(f"  sentences  {int(samples['labels'].sum()):,} tokens")
    print(f"  tracks     {'yes' if file.has_tracks else 'none'}")
    print(f"  tokenizer  {len(file.tokens):,} tokens, hash {file.prefix_hash}")
    print(f"  species    {len(file.species):,}: {_shortened(file.species)}")
    flags = metadata.get("flags")
    if isinstance(flags, dict):
        given = ", ".join(f"{name} {value}" for name, value in flags.items() if value not in (None, False, [], {}))
        print(f"  flags      {given}")
    elif flags:
        print(f"  flags      not the same in the {len(flags)} files that were joined")
    for step in metadata.get("history", []):
        print(f"  history    {_step(step)}")
    return 0


def _step(step: Mapping[str, Any]) -> str:
    """What was done to a file: ``subset: 50 samples of 994 (seed 0)``."""
    words = {"samples": "{:,} samples", "part": "part {:,}"}
    done = [words[name].format(step[name]) for name in words if name in step]
    if "of" in step:
        done.append(f"of {step['of']:,}")
    if "seed" in step:
        done.append(f"(seed {step['seed']})")
    return f"{step['operation']}{': ' if len(done) > 1 else ' '}{' '.join(done)}"


def _shortened(names: Sequence[str], most: int = 8) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most:,} more" if len(names) > most else "")


def _verify(args: argparse.Namespace) -> int:
    from genet5._core import PackedFile

    for path in args.files:
        begin = time.perf_counter()
        file = PackedFile(path)
        read = file.verify()
        seconds = max(time.perf_counter() - begin, 1e-9)
        print(
            f"{path}: {len(file):,} samples, {_bytes(read)} of data, all as written ({read / seconds / 1e6:,.0f} MB/s)"
        )
    return 0


def _head(args: argparse.Namespace) -> int:
    from genet5._core import Vocabulary
    from genet5.data import PackedDataset
    from genet5.errors import InputError

    dataset = PackedDataset(args.file)
    if args.count < 1 or args.bases < 0:
        raise InputError("--count must be at least 1, and --bases must not be negative")
    if not 0 <= args.sample < max(len(dataset), 1):
        raise InputError(f"--sample {args.sample}: {args.file} has {len(dataset)} samples, counted from 0")
    vocabulary = Vocabulary.from_tokens(dataset.tokens)
    last = min(args.sample + args.count, len(dataset))
    lengths = _sequence_lengths(dataset)
    ids = dataset.file.batch(_range(args.sample, last), text=False, base_labels=False)["segment_ids"]
    assert ids is not None
    shown = -1
    for index in ids.tolist():
        segment = dataset.segment(index)
        if segment.sample != shown:
            shown = segment.sample
            print(f"sample {shown}")
        _show(segment, index, vocabulary, args.bases, lengths.get((segment.species, segment.seqid)))
    return 0


def _sequence_lengths(dataset: PackedDataset) -> dict[tuple[str, str], int]:
    """Lengths in bp by species and sequence, where baking recorded them: windows may pass a circular one's end."""
    return {
        (species["name"], sequence["id"]): int(sequence["length"])
        for species in dataset.metadata.get("species", [])
        for sequence in species.get("sequences", [])
    }


def _range(first: int, last: int) -> Any:
    import numpy as np

    return np.arange(first, last, dtype=np.int64)


def _show(segment: PackedSegment, index: int, vocabulary: Any, bases: int, sequence_length: int | None) -> None:
    """Print one window."""
    import textwrap

    from genet5 import language

    print(
        f"\n  window {index}: {segment.place}, genetic code {segment.genetic_code}, {len(segment.tokens):,} DNA tokens"
    )
    dna = segment.dna if bases == 0 else segment.dna[:bases]
    for begin in range(0, len(dna), 80):
        print(f"    {begin:>7,}  {dna[begin : begin + 80]}")
    if len(dna) < len(segment.dna):
        print(f"             ... {len(segment.dna) - len(dna):,} bp more")
    if segment.tracks is not None:
        held = ", ".join(f"{int((segment.tracks & bit > 0).sum()):,} {what}" for bit, what in TRACKS.items())
        print(f"    tracks, in tokens: {held}")
    sentence = segment.sentence.tolist()
    words = vocabulary.texts(sentence)
    print(f"    sentence of {len(words)} tokens:")
    print(
        textwrap.fill(" ".join(words), 100, initial_indent=" " * 6, subsequent_indent=" " * 6, break_long_words=False)
    )
    if segment.loss_end < len(words):
        print(f"    no loss is taken from its token {segment.loss_end} on")
    for start, end in segment.ignore:
        print(f"    no loss is taken on bases {start:,} to {end:,} of the window")
    genes = language.decode(
        sentence,
        segment.end - segment.start,
        vocabulary,
        start=segment.start,
        reverse=segment.reverse,
        sequence_length=sequence_length,
    )
    print(f"    {len(genes)} genes, in the sequence (1-based):")
    for gene in genes:
        for number, transcript in enumerate(gene["transcripts"]):
            parts = transcript["cds"] or transcript["exons"]
            spans = ",".join(f"{part['start'] + 1}-{part['end']}" for part in parts)
            strand = {"Forward": "+", "Reverse": "-"}.get(gene["strand"], ".")
            open_ends = "".join(
                f", {end}' end open" for end, flag in (("5", "partial_5"), ("3", "partial_3")) if transcript[flag]
            )
            kind = "CDS" if transcript["cds"] else "exons"
            isoform = " (isoform)" if number else ""
            print(f"      {segment.seqid} {strand} {transcript['biotype']}{isoform} {kind} {spans}{open_ends}")


def _quantiles(values: Any) -> list[int]:
    import numpy as np

    if len(values) == 0:
        return [0] * 5
    return [int(value) for value in np.quantile(values, [0, 0.25, 0.5, 0.75, 1], method="nearest")]


def _stats(args: argparse.Namespace) -> int:
    import numpy as np

    from genet5.data import PackedDataset

    dataset = PackedDataset(args.file)
    file = dataset.file
    samples, segments = file.samples(), file.segments()
    counts = _token_counts(dataset)
    rows = []
    for number, name in enumerate(file.species):
        mine = segments["species"] == number
        total = counts[number]
        genes = total["strand"] - total["alt"]
        rows.append(
            [
                name,
                int(mine.sum()),
                int(segments["length"][mine].sum()),
                int(segments["tokens"][mine].sum()),
                int(segments["labels"][mine].sum()),
                int(segments["reverse"][mine].sum()),
                genes,
                total["alt"],
                int((segments["ignores"][mine] > 0).sum()),
                int((segments["loss_end"][mine] < segments["labels"][mine]).sum()),
            ]
        )
    header = [
        "species",
        "windows",
        "bp",
        "DNA tokens",
        "labels",
        "reversed",
        "genes",
        "isoforms",
        "with ignored",
        "masked",
    ]
    print(table(rows, header))
    print("\nGenes are counted once a window, and so once for every window that shows them.\n")
    biotypes: dict[str, int] = {}
    for total in counts:
        for name, count in total["biotypes"].items():
            biotypes[name] = biotypes.get(name, 0) + count
    if biotypes:
        ordered = sorted(biotypes.items(), key=lambda item: (-item[1], item[0]))
        print(table([[name, count] for name, count in ordered], ["biotype", "transcripts"]) + "\n")
    quantities: Iterable[tuple[str, Any]] = [
        ("bp a window", segments["length"]),
        ("DNA tokens a window", segments["tokens"]),
        ("label tokens a window", segments["labels"]),
        ("windows a sample", samples["segments"]),
        ("DNA tokens a sample", samples["tokens"]),
        ("label tokens a sample", samples["labels"]),
    ]
    lengths = [[name, *_quantiles(np.asarray(values))] for name, values in quantities]
    print(table(lengths, ["length", "least", "25%", "median", "75%", "most"]))
    return 0


def _token_counts(dataset: PackedDataset) -> list[dict[str, Any]]:
    """For each species how often tokens of a role stand in its sentences, and the biotypes by name."""
    import numpy as np

    from genet5._core import Vocabulary

    tokens = dataset.tokens
    vocabulary = Vocabulary.from_tokens(tokens)
    species = dataset.file.segments()["species"]
    found = np.zeros((len(dataset.file.species), len(tokens)), dtype=np.int64)
    for begin in range(0, len(dataset), 256):
        batch = dataset.file.batch(_range(begin, min(begin + 256, len(dataset))), base_labels=False)
        ids, offsets, rows = batch["decoder_input_ids"], batch["target_offsets"], batch["segment_ids"]
        assert ids is not None
        assert offsets is not None
        assert rows is not None
        np.add.at(found, (np.repeat(species[rows], np.diff(offsets)), ids), 1)
    roles = [vocabulary.role(token) for token in range(len(tokens))]
    counts = []
    for row in found:
        total: dict[str, Any] = {"strand": 0, "alt": 0, "biotypes": {}}
        for token in np.flatnonzero(row).tolist():
            if roles[token] in ("strand", "alt"):
                total[roles[token]] += int(row[token])
            elif roles[token] == "biotype":
                total["biotypes"][tokens[token].strip("<>")] = int(row[token])
        counts.append(total)
    return counts


def _subset(args: argparse.Namespace) -> int:
    from genet5.cli import subset

    return subset.run(args)


def _merge(args: argparse.Namespace) -> int:
    from genet5._core import merge_packed
    from genet5.cli.subset import make_way
    from genet5.errors import InputError

    if args.output.exists():
        # `merge parts/*.packed` must not take the last part for the file to write.
        raise InputError(
            f"{args.output} exists, and the last name is that of the file to write: remove it, or name another"
        )
    make_way(args.inputs, [args.output])
    count = merge_packed(args.inputs, args.output)
    print(f"{args.output}: {count:,} samples of {len(args.inputs)} files")
    return 0


def _split(args: argparse.Namespace) -> int:
    from genet5._core import PackedFile
    from genet5.cli.subset import make_way
    from genet5.errors import InputError

    weights = [1.0] * len(args.outputs)
    if args.weights is not None:
        try:
            weights = [float(weight) for weight in args.weights.split(",")]
        except ValueError:
            raise InputError(f"--weights {args.weights}: write numbers with commas between, as in 9,1") from None
    if len(weights) != len(args.outputs) or len({path.resolve() for path in args.outputs}) < len(args.outputs):
        raise InputError(
            f"{len(weights)} weights for {len(args.outputs)} files: give one for each, and different files"
        )
    source = PackedFile(args.file)
    make_way([args.file], args.outputs)
    counts = source.split(args.outputs, weights, seed=args.seed)
    for path, count in zip(args.outputs, counts, strict=True):
        print(f"{path}: {count:,} of {len(source):,} samples")
    return 0


def _shuffle(args: argparse.Namespace) -> int:
    from genet5._core import PackedFile
    from genet5.cli.subset import make_way

    source = PackedFile(args.file)
    make_way([args.file], [args.output])
    source.shuffle(args.output, seed=args.seed)
    print(f"{args.output}: {len(source):,} samples")
    return 0
