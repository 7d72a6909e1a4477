"""Which items have the same picture or text, told by their vectors: they must not stand in two parts of a split."""

from hashlib import blake2b

import numpy as np

from mmrec.content.matrix import FloatArray


def vector_digests(values_ND: FloatArray) -> list[str]:
    """A name for each row that equal rows share: what one encoder makes of equal inputs is equal.

    Rounded, since an encoder's last digits depend on the batch that an input came in.
    """
    rounded = np.round(values_ND, 4) + np.float32(0.0)  # no negative zero
    return [blake2b(row.tobytes(), digest_size=16).hexdigest() for row in rounded]
