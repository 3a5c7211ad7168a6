"""GeneT5 reads a genome (FASTA) and writes its gene annotation (GFF3)."""

__version__ = "0.1.0"
