"""One bare loop per backend: the same client library, the same guarantees, and nothing else."""
