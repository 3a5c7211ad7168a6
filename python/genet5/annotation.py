"""Gene annotation: GFF3, GTF and GenBank into gene models, as typed objects and as Arrow tables.

>>> from genet5 import annotation
>>> genes = annotation.read("genes.gff3")
>>> genes
<Annotation of 2 genes on 1 sequences>
>>> gene = genes[0]
>>> gene.id, gene.seqid, gene.start, gene.end, gene.strand, gene.biotype
('YAL069W', 'chrI', 334, 649, '+', 'protein_coding')
>>> gene.transcripts[0].exons
[(334, 649)]
>>> [gene.id for gene in genes if gene.strand == "-"]
['YAL068C']
>>> genes.report["counts"]
{'row of type telomere is no part of a gene model': 1}

As tables, one row a transcript, by the Arrow C interface (polars, pyarrow) or through :func:`to_arrow`:

>>> import polars
>>> polars.DataFrame(genes)["transcript_id", "start", "end"].rows()
[('YAL069W_mRNA', 334, 649), ('YAL068C_mRNA', 1806, 2169)]
>>> to_arrow(genes)["cds"].to_pylist()[0]
[{'start': 334, 'end': 649}]

Coordinates are 0-based, half-open, on the forward strand; on a circular sequence an end may pass the length.
"""

from __future__ import annotations

import json
from os import PathLike
from typing import TYPE_CHECKING, Any

from genet5._core import Annotation, Gene, Genome, Transcript, biotypes, reverse_complement, translate

if TYPE_CHECKING:
    import pyarrow

__all__ = [
    "Annotation",
    "Gene",
    "Genome",
    "Transcript",
    "biotypes",
    "read",
    "read_genome",
    "reverse_complement",
    "stats",
    "to_arrow",
    "translate",
]


def read(path: str | PathLike[str], *, lenient: bool = False, threads: int | None = None) -> Annotation:
    """Read gene models from GFF3, GTF or a GenBank flat file, plain or compressed (gzip, BGZF).

    The content tells the format. What could not be used is counted by reason in ``Annotation.report``. With ``lenient``
    malformed lines are counted there too. ``threads`` is by default the number of cores that the process may use; the
    result is the same for any number.

    Raises:
        genet5.errors.FormatError: a malformed line, a cycle of parents, no annotation; has ``file`` and ``line``.
        OSError: the file cannot be read.
    """
    return Annotation.read(path, lenient, threads)


def read_genome(path: str | PathLike[str]) -> Genome:
    """Read the sequences of a FASTA file, of GFF3's ``##FASTA`` part or of GenBank records."""
    return Genome.read(path)


def stats(
    annotation: Annotation,
    genome: Genome | None = None,
    genetic_code: int | None = None,
    codes: dict[str, int] | None = None,
) -> dict[str, Any]:
    """Counts and lengths (bp) of genes, transcripts, exons, introns and CDS, and what was left out, by reason.

    With a genome, ``quality`` tells how well the coding transcripts fit the sequence: start and stop codons, splice
    sites, frames, and for each sequence the genetic code and one that fits better, if any. The genetic code of a
    sequence is the one in ``codes``, else ``genetic_code``, else the annotation's own (``transl_table``), else 1.
    """
    found: dict[str, Any] = json.loads(annotation.stats(genome, genetic_code, codes))
    return found


def to_arrow(annotation: Annotation) -> pyarrow.Table:
    """One row a transcript; ``exons`` and ``cds`` are lists of (start, end). Needs pyarrow.

    Anything that takes the Arrow C interface reads an :class:`Annotation` itself:
    ``polars.DataFrame(annotation)``, ``pyarrow.table(annotation)``.
    """
    try:
        import pyarrow as pa
    except ModuleNotFoundError as error:
        raise ImportError("tables of an annotation need pyarrow: pip install pyarrow") from error
    columns = annotation.columns()

    def words(name: str) -> pa.Array:
        return pa.array(columns[name], pa.string()).dictionary_encode()

    def parts(name: str) -> pa.Array:
        offsets, starts, ends = columns[name]
        intervals = pa.StructArray.from_arrays([pa.array(starts), pa.array(ends)], ["start", "end"])
        return pa.ListArray.from_arrays(pa.array(offsets), intervals)

    flags = [text.split(",") if text else [] for text in columns["flags"]]
    return pa.table(
        {
            "seqid": words("seqid"),
            "gene_id": pa.array(columns["gene_id"], pa.string()),
            "transcript_id": pa.array(columns["transcript_id"], pa.string()),
            "gene_biotype": words("gene_biotype"),
            "biotype": words("biotype"),
            "start": pa.array(columns["start"]),
            "end": pa.array(columns["end"]),
            "strand": words("strand"),
            "exons": parts("exons"),
            "cds": parts("cds"),
            "cds_phase": pa.array(columns["cds_phase"], pa.int8(), safe=False),
            "partial_5": pa.array(columns["partial_5"].astype(bool)),
            "partial_3": pa.array(columns["partial_3"].astype(bool)),
            "flags": pa.array(flags, pa.list_(pa.string())),
        }
    )
