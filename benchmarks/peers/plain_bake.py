"""The bake of one species in plain Python: the peer that `benchmarks/bake.py` times GeneT5 against.

The same steps on the same input: FASTA and GFF3 (plain or gzip) read line by line, gene models checked against their
genetic code, overlapping windows shifted between genes, a sentence of annotation tokens for each, DNA tokens from
Hugging Face `tokenizers` (`encode_batch`, all cores), packs by best fit, and records written with `struct` beside a
JSON index. It is written as one would write it without a compiled core, not to be slow.
"""

from __future__ import annotations

import bisect
import gzip
import json
import math
import struct
import sys
from collections import Counter, defaultdict
from pathlib import Path

from tokenizers import Tokenizer

WINDOW, MARGIN = 10_000, 50
TARGET, HARD_LIMIT, MAX_LABELS = 4550, 5005, 8000
MAX_N_RATIO, INTERGENIC, VALIDATION = 0.1, 0.15, 0.05
STARTS = {1: {"ATG", "TTG", "CTG"}, 11: {"ATG", "GTG", "TTG", "CTG", "ATT", "ATC", "ATA"}}
STOPS = {"TAA", "TAG", "TGA"}
COMPLEMENT = str.maketrans("ACGTRYKMBVDHSWN", "TGCAYRMKVBHDSWN")
SKIPPED = {"pseudogene", "pseudogenic_transcript", "mobile_genetic_element", "transposable_element"}


def opened(path):
    with Path(path).open("rb") as file:
        compressed = file.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rt") if compressed else Path(path).open()


def read_fasta(path):
    sequences, name, lines = {}, None, []
    with opened(path) as file:
        for line in file:
            if line.startswith(">"):
                if name is not None:
                    sequences[name] = "".join(lines).upper()
                name, lines = line[1:].split()[0], []
            else:
                lines.append(line.strip())
    sequences[name] = "".join(lines).upper()
    return sequences


def read_gff(path, sequences):
    """Genes as dictionaries: seqid, strand, biotype, transcripts; each transcript exons and CDS, 0-based, half-open."""
    genes, transcripts, parts = {}, {}, defaultdict(list)
    with opened(path) as file:
        for number, line in enumerate(file, 1):
            if line.startswith("##FASTA"):
                break
            if line.startswith("#") or not line.strip():
                continue
            columns = line.rstrip("\n").split("\t")
            if len(columns) != 9:
                sys.exit(f"{path}, line {number}: {len(columns)} columns")
            seqid, _, kind, start, end, _, strand, phase, text = columns
            if seqid not in sequences:
                continue
            attributes = dict(pair.split("=", 1) for pair in text.split(";") if "=" in pair)
            span = (int(start) - 1, int(end))
            if span[1] > len(sequences[seqid]):
                sys.exit(f"{path}, line {number}: past the end of {seqid}")
            parents = attributes.get("Parent", "").split(",")
            if kind in ("exon", "CDS"):
                for parent in parents:
                    parts[parent].append((kind, *span, phase))
            elif kind.endswith("gene") or kind == "pseudogene":
                biotype = attributes.get("gene_biotype") or attributes.get("biotype") or kind
                genes[attributes.get("ID")] = {
                    "seqid": seqid, "span": span, "strand": strand, "biotype": biotype, "kind": kind, "transcripts": []
                }  # fmt: skip
            elif parents != [""]:
                transcripts[attributes.get("ID")] = {"gene": parents[0], "kind": kind}
    for name, transcript in transcripts.items():
        if transcript["gene"] in genes:
            genes[transcript["gene"]]["transcripts"].append(model(parts[name], transcript["kind"]))
    for name, gene in genes.items():
        if not gene["transcripts"] and parts.get(name):
            gene["transcripts"].append(model(parts[name], "mRNA"))
    return [gene for gene in genes.values() if gene["transcripts"]]


def model(rows, kind):
    cds = sorted((start, end) for what, start, end, _ in rows if what == "CDS")
    exons = sorted((start, end) for what, start, end, _ in rows if what == "exon") or cds
    return {"kind": kind, "exons": exons, "cds": cds}


def canonical(gene):
    def length(parts):
        return sum(end - start for start, end in parts)

    return max(gene["transcripts"], key=lambda t: (length(t["cds"]), length(t["exons"])))


def refused(gene, transcript, sequence, code):
    """Why a gene cannot be taught, or None."""
    if gene["kind"] in SKIPPED or gene["biotype"] in SKIPPED:
        return "pseudogene"
    if gene["strand"] not in "+-":
        return "strand unknown"
    if not transcript["exons"]:
        return "no exons"
    if not transcript["cds"]:
        return None
    if any(b[0] - a[1] < 3 for a, b in zip(transcript["cds"], transcript["cds"][1:], strict=False)):
        return "slippage"
    spliced = "".join(sequence[start:end] for start, end in transcript["cds"])
    if gene["strand"] == "-":
        spliced = spliced.translate(COMPLEMENT)[::-1]
    codons = [spliced[i : i + 3] for i in range(0, len(spliced), 3)]
    if len(spliced) % 3:
        return "length"
    if codons[0] not in STARTS[code]:
        return "no start codon"
    if codons[-1] not in STOPS:
        return "no stop codon"
    if any(codon in STOPS for codon in codons[:-1]):
        return "stop codon inside"
    return None


def path_of(gene, transcript, utr):
    """States of a transcript from left to right: (start, end, state), in transcript direction CDS positions."""
    coding = bool(transcript["cds"])
    exons = transcript["exons"] if utr or not coding else transcript["cds"]
    forward = gene["strand"] == "+"
    oriented = exons if forward else [(-end, -start) for start, end in reversed(exons)]
    cds = transcript["cds"] if forward else [(-end, -start) for start, end in reversed(transcript["cds"])]
    first, last = (cds[0][0], cds[-1][1]) if coding else (math.inf, math.inf)
    pieces, position, before = [], 0, None
    for start, end in oriented:
        if before is not None:
            state = "intronN"
            if coding:
                state = "intron5" if first >= start else "intron3" if last <= before else f"intron{position % 3}"
            pieces.append((before, start, state))
        before = end
        if not coding:
            pieces.append((start, end, "exon"))
            continue
        if start < first:
            pieces.append((start, min(end, first), "utr5"))
        inner = (max(start, first), min(end, last))
        if inner[0] < inner[1]:
            pieces.append((*inner, f"cds{position % 3}"))
            position += inner[1] - inner[0]
        if end > last:
            pieces.append((max(start, last), end, "utr3"))
    return pieces


def advance(state, bases):
    return f"cds{(int(state[3]) + bases) % 3}" if state.startswith("cds") else state


def sentence_of(gene, pieces, start, length, ids):
    """Tokens of a transcript in the window, or [] where it lies outside."""
    forward = gene["strand"] == "+"
    shift = -start if forward else start + length
    clipped = []
    for left, right, state in pieces:
        a, b = max(left + shift, 0), min(right + shift, length)
        if a < b:
            clipped.append((a, b, advance(state, a - left - shift)))
    if not clipped:
        return []
    signals = []
    opened_left, opened_right = pieces[0][0] + shift < 0, pieces[-1][1] + shift > length
    family = {"utr5": "u5", "utr3": "u3", "exon": "e"}

    def kind(state):
        return "i" if state.startswith("intron") else "c" if state.startswith("cds") else family[state]

    states = [kind(state) for *_, state in clipped]
    if not opened_left:
        signals.append(("start" if states[0] == "c" else "tss", clipped[0][0]))
    for (_, end, _), before, after in zip(clipped, states, states[1:], strict=False):
        if before == "i" or after == "i":
            signals.append(("acceptor" if before == "i" else "donor", end))
        elif after == "c":
            signals.append(("start", end))
        else:
            signals.append(("stop", end))
    if not opened_right:
        signals.append(("stop" if states[-1] == "c" else "tts", clipped[-1][1]))
    cuts = [clipped[0][2] if opened_left else None, clipped[-1][2] if opened_right else None]
    if not forward:
        signals = [(name, length - at) for name, at in reversed(signals)]
        cuts.reverse()
    tokens = [ids[f"<{gene['strand']}>"], ids.get(f"<{gene['word']}>", 0)]
    if cuts[0]:
        tokens.append(ids[f"<{cuts[0]}>"])
    for name, at in signals:
        tokens += [ids[f"<{name}>"], ids[f"<{at // 1000}>"], ids[f"<{at % 1000}>"]]
    if cuts[1]:
        tokens.append(ids[f"<{cuts[1]}>"])
    return tokens


def tile(length, spans):
    """Windows with overlap whose ends avoid genes where a gap is near, and every gene that fits whole in one."""
    overlap = round(WINDOW / math.e)
    gaps, end = [], 0
    for a, b in spans:
        if a >= end:
            gaps.append((end + a) // 2)
        end = max(end, b)
    gaps.append(length)
    fits = [(max(a - MARGIN, 0), min(b + MARGIN, length)) for a, b in spans if b - a + 2 * MARGIN <= WINDOW]
    start, first = 0, 0
    while start + WINDOW < length:
        stop = start + WINDOW
        i = bisect.bisect_right(gaps, stop) - 1
        if i >= 0 and gaps[i] > stop - 2000:
            stop = gaps[i]
        yield start, stop
        while first < len(fits) and fits[first][0] < start:
            first += 1
        limit = stop
        for a, b in fits[first:]:
            if a > stop:
                break
            if b > stop:
                limit = a
                break
        wanted = max(start + 1, min(stop - overlap, limit))
        i = bisect.bisect_right(gaps, wanted) - 1
        start = gaps[i] if i >= 0 and gaps[i] > max(start, wanted - 2000) else wanted
    yield start, length


def bake(genome, annotation, tokenizer_file, output, code=1):
    sequences = read_fasta(genome)
    genes = read_gff(annotation, sequences)
    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    ids = tokenizer.get_vocab()
    counts = Counter()
    by_sequence = defaultdict(list)
    coding = sum(bool(canonical(gene)["cds"]) for gene in genes)
    with_utr = sum(bool(t["cds"]) and t["exons"] != t["cds"] for t in map(canonical, genes))
    utr = with_utr * 10 >= coding
    for gene in genes:
        transcript = canonical(gene)
        gene["word"] = "protein_coding" if transcript["cds"] else transcript["kind"]
        reason = refused(gene, transcript, sequences[gene["seqid"]], code)
        counts[reason] += 1
        span = (min(gene["span"][0], transcript["exons"][0][0]), max(gene["span"][1], transcript["exons"][-1][1]))
        pieces = None if reason else path_of(gene, transcript, utr)
        by_sequence[gene["seqid"]].append((*span, gene, pieces))

    windows = []
    for seqid, sequence in sequences.items():
        loci = sorted(by_sequence[seqid], key=lambda row: row[:2])
        starts = [row[0] for row in loci]
        longest = max((row[1] - row[0] for row in loci), default=0)
        for start, end in tile(len(sequence), [row[:2] for row in loci]):
            text = sequence[start:end]
            if text.count("N") > MAX_N_RATIO * len(text):
                counts["window with N"] += 1
                continue
            tokens, ignored = [], []
            for a, b, gene, pieces in loci[
                bisect.bisect_left(starts, start - longest) : bisect.bisect_left(starts, end)
            ]:
                if b <= start:
                    continue
                if pieces is None:
                    ignored.append((max(a - start, 0), min(b, end) - start))
                else:
                    tokens += sentence_of(gene, pieces, start, end - start, ids)
            labels = [ids["<bos>"], ids["<UTR>" if utr else "<NOUTR>"], ids["<ALL>"], *tokens, ids["<eos>"]]
            windows.append((seqid, start, end, text, labels, ignored))
    gene_free = [window for window in windows if len(window[4]) == 4]
    kept = [window for window in windows if len(window[4]) > 4]
    kept += gene_free[:: max(1, round(len(gene_free) / max(1, round(INTERGENIC * len(kept)))))]

    encoded = tokenizer.encode_batch([window[3] for window in kept], add_special_tokens=False)
    records = []
    for (seqid, start, end, _, labels, ignored), encoding in zip(kept, encoded, strict=True):
        records.append((seqid, start, end - start, encoding.ids, labels, ignored))
    held_out = {i for i in range(len(records)) if i % round(1 / VALIDATION) == 0}
    for name, chosen in (
        ("validation", [record for i, record in enumerate(records) if i in held_out]),
        ("training", [record for i, record in enumerate(records) if i not in held_out]),
    ):
        write(Path(output) / f"{name}.bin", chosen)
    (Path(output) / "bake.json").write_text(json.dumps({"genes": {str(k): v for k, v in counts.items()}}))
    return len(records)


def pack(records):
    """Best fit, longest first."""
    packs, room = [], []
    for i in sorted(range(len(records)), key=lambda i: -len(records[i][3])):
        size, labels = len(records[i][3]), len(records[i][4])
        at = bisect.bisect_left(room, (size, -1))
        while at < len(room) and packs[room[at][1]][1] + labels > MAX_LABELS:
            at += 1
        if at == len(room):
            packs.append([[], 0])
            space, number = HARD_LIMIT, len(packs) - 1
        else:
            space, number = room.pop(at)
        packs[number][0].append(i)
        packs[number][1] += labels
        if HARD_LIMIT - space + size < TARGET:
            bisect.insort(room, (space - size, number))
    return [members for members, _ in packs]


def write(path, records):
    index, offset = [], 0
    with path.open("wb") as file:
        for members in pack(records):
            start = offset
            for i in members:
                seqid, at, length, tokens, labels, ignored = records[i]
                name = seqid.encode()
                block = struct.pack("<HQIIII", len(name), at, length, len(tokens), len(labels), len(ignored)) + name
                block += struct.pack(f"<{len(tokens)}H", *tokens) + struct.pack(f"<{len(labels)}H", *labels)
                block += b"".join(struct.pack("<II", *pair) for pair in ignored)
                file.write(block)
                offset += len(block)
            index.append((start, offset - start, len(members)))
    path.with_suffix(".json").write_text(json.dumps(index))


if __name__ == "__main__":
    genome, annotation, tokenizer, output = sys.argv[1:5]
    Path(output).mkdir(parents=True, exist_ok=True)
    print(bake(genome, annotation, tokenizer, output, int(sys.argv[5]) if len(sys.argv) > 5 else 1), "windows")
