"""Evidence over a genome and the gene models made from it."""
