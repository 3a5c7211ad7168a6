"""Comparison with a reference annotation, and BUSCO."""
