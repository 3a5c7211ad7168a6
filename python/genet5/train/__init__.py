"""The trainer: optimiser, checkpoints, distribution, logs."""
