"""Variables that keep the libraries of a process to one thread: with few cores, more stall each other."""

from collections.abc import Mapping
from typing import Final

ONE_THREAD: Final[Mapping[str, str]] = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"
)
"""Of BLAS, faiss and torch; a process reads them when it starts."""
