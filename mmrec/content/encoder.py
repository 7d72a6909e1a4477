"""What an encoder is: canonical bytes of one modality in, one vector per input out.

What belongs to a modality beside its encoders: mmrec.content.modality. An input that cannot be read is no exception:
it comes back with a reason, the item is kept and the modality counts as missing.
Axes: N inputs, D embedding.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]

MISSING = "missing"
"""Reason of an item that has no such modality."""
NOT_FETCHED = "not_fetched"
"""Reason of an item that names its picture by URI, and the picture is not here."""
BROKEN = "broken"
"""Reason of an input that could not be read."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Encodings:
    """Vectors of N inputs."""

    values_ND: FloatArray
    """float32; zeros where a reason is given."""
    reasons_N: tuple[str, ...]
    """"" where the input was encoded, else why not."""


class Encoder(Protocol):
    """A frozen model of one modality."""

    @property
    def name(self) -> str:
        """Name it was asked for by; part of the cache key, so another model needs another name."""
        ...

    @property
    def modality(self) -> str:
        """What it reads: "text", "image", "attributes", ..."""
        ...

    @property
    def embedding_dim(self) -> int:
        """D."""
        ...

    def encode(self, payloads: Sequence[bytes]) -> Encodings:
        """Vectors of N payloads (see mmrec.content.payloads), in order; never raises for bad bytes."""
        ...
