"""One file per rival, run by an environment of its own: see benchmarks/contend.py for what is in it."""
