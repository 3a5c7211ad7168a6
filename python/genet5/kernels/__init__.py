"""Sparse attention kernels in Triton, their PyTorch references, and the choice between them."""
