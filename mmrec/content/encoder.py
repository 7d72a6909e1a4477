"""What an encoder is: canonical bytes of one modality in, one vector per input out.

What belongs to a modality beside its encoders: mmrec.content.modality. An input that cannot be read is no exception:
it comes back with a reason, the item is kept and the modality counts as missing.
Axes: N inputs, D embedding.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]

FINGERPRINT_LENGTH: Final = 32
"""128 bits: enough that no two encoders share one."""
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


class EncoderModel(Protocol):
    """A frozen model of one modality, as a file of mmrec/content/modalities writes it."""

    @property
    def name(self) -> str:
        """Name it was asked for by."""
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


class Encoder(EncoderModel, Protocol):
    """A model as the rest of the house sees it: one that says which one it is (mmrec.content.registry)."""

    @property
    def fingerprint(self) -> str:
        """Of its weights and code, FINGERPRINT_LENGTH digits in hex; cheap, loads nothing.

        Vectors of one fingerprint are comparable, and kept by it; those of two never are, whatever the name.
        """
        ...
