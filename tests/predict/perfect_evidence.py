"""Evidence as a perfect model would give it, made from gene models by the definitions of docs/architecture.md."""

import itertools

import numpy as np

from genet5 import _core

TSS, START, DONOR, ACCEPTOR, STOP, TTS = range(6)


def sayable(gene, sequence, genetic_code=1, starts=(b"ATG",)):
    """Whether the dynamic program can say the gene's first transcript, and its coding sequence in genomic order."""
    transcript = gene.transcripts[0]
    parts = transcript.cds
    if gene.flags or transcript.flags or transcript.partial_5 or transcript.partial_3 or not parts:
        return None
    spliced = b"".join(sequence[start:end] for start, end in parts)
    introns = [sequence[a[1] : b[0]] for a, b in itertools.pairwise(parts)]
    if gene.strand == "-":
        spliced = _core.reverse_complement(spliced)
        introns = [_core.reverse_complement(intron) for intron in introns]
    protein = _core.translate(spliced, genetic_code)
    good = len(spliced) % 3 == 0 and protein.endswith(b"*") and b"*" not in protein[:-1] and spliced[:3] in starts
    good = good and all(i[:2] in (b"GT", b"GC") and i[-2:] == b"AG" for i in introns)
    return parts if good else None


def perfect_evidence(models, length, size=6.0):
    """`classes` and `signals` [length, 2, 6] of models given as (strand, parts)."""
    label = np.zeros((length, 2), np.int8)
    signals = np.full((length, 2, 6), -size, np.float32)
    for strand, parts in models:
        s = 0 if strand == "+" else 1
        ordered = parts if s == 0 else parts[::-1]
        inside = 1 if s == 0 else -1
        done = 0
        for i, (start, end) in enumerate(ordered):
            # Index of the leftmost base within its codon, left to right.
            index = done % 3 if s == 0 else (2 - (done + end - start - 1)) % 3
            label[start:end, s] = 1 + (start - index) % 3
            done += end - start
            first, last = (start, end - 1) if s == 0 else (end - 1, start)
            signals[first, s, START] = size if i == 0 else -size
            if i > 0:
                signals[first - inside, s, ACCEPTOR] = size
            if i < len(ordered) - 1:
                signals[last + inside, s, DONOR] = size
            else:
                signals[last, s, STOP] = size
        for (_, a), (b, _) in itertools.pairwise(parts):
            free = label[a:b, s] == 0
            label[a:b, s][free] = 4
    classes = np.where(label[:, :, None] > 0, 0, -size).astype(np.float32) * np.ones(6, np.float32)
    at, strand = np.nonzero(label)
    classes[at, strand, label[at, strand]] = size
    return classes, signals
