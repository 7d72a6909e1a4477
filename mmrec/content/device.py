"""Where networks run: the GPU where torch sees one, else the CPU.

Vectors of the two differ in their last digits (convolutions of a GPU round to TF32), which is less than what a picture
differs from itself at another quality; so the device is no part of a fingerprint.
"""

import os
from typing import Final

CPU_BATCH: Final = 4
GPU_BATCH: Final = 128
"""Pictures that go through a network at once: on a CPU more fall out of its caches (16 take 1.3 to 1.5 times as long
each)."""


def device() -> str:
    """A name that torch understands: "cuda" or "cpu"."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def picture_batch() -> int:
    """How many pictures go through a network at once."""
    return GPU_BATCH if device() == "cuda" else CPU_BATCH


def num_decoders() -> int:
    """Threads that decode pictures: all processors beside a GPU, and none beside a network that needs them itself."""
    return len(os.sched_getaffinity(0)) if device() == "cuda" else 1
