//! FASTA genomes.
