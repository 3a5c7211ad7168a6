"""Packed datasets, samplers, baking and the tables of taxa and species."""
