"""Updates of items through the item tower: what replicas hold, and what the live collection is given (METHODS M27)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from mmrec.content.matrix import ContentMatrix, content_matrix, is_same_encoder
from mmrec.serving.item_record import ItemUpdate

Float32Array = npt.NDArray[np.float32]


class ItemTower(Protocol):
    """Makes an embedding from an item's content; mmrec.models.bundle.ModelBundle is one."""

    @property
    def embedding_dim(self) -> int: ...
    @property
    def encoders(self) -> Mapping[str, str]: ...
    @property
    def fingerprints(self) -> Mapping[str, str]: ...
    @property
    def content_dims(self) -> Mapping[str, int]: ...
    def item_embeddings(self, content: ContentMatrix) -> Float32Array: ...
    def modality_weights(self, content: ContentMatrix) -> dict[str, Float32Array]: ...


@dataclass(frozen=True, kw_only=True, eq=False)
class EmbeddedUpdates:
    """Items that got an embedding, N of them."""

    item_ids: tuple[str, ...]
    vectors_ND: Float32Array
    """Finite."""
    modality_weights: Mapping[str, Float32Array]
    """Share of each modality in each embedding, shape (N,)."""
    num_unusable: int
    """Vectors that the tower cannot use: another encoder, fingerprint or width, or no finite embedding."""


def embed_updates(updates: Sequence[ItemUpdate], tower: ItemTower) -> EmbeddedUpdates:
    """Embeddings of items, each by its last update that has a usable vector; items without one are left out.

    So an update without vectors changes no embedding, whichever updates are taken together.
    """
    dims = tower.content_dims
    usable: dict[str, dict[str, Float32Array]] = {}
    num_unusable = 0
    for update in updates:
        if update.entry is None:
            continue
        vectors = {
            name: vector
            for name, vector in update.vectors.items()
            if is_same_encoder(name, update, tower) and len(vector) == dims.get(name)
        }
        num_unusable += len(update.vectors) - len(vectors)
        if vectors:
            usable[update.item_id] = vectors
    names = list(dict.fromkeys(name for vectors in usable.values() for name in vectors))
    if not usable:
        return EmbeddedUpdates(
            item_ids=(),
            vectors_ND=np.zeros((0, tower.embedding_dim), dtype=np.float32),
            modality_weights={},
            num_unusable=num_unusable,
        )
    content = content_matrix(
        list(usable),
        {name: {item_id: vectors[name] for item_id, vectors in usable.items() if name in vectors} for name in names},
        embedding_dims={name: dims[name] for name in names},
        encoders={name: tower.encoders[name] for name in names},
        fingerprints={name: print_ for name, print_ in tower.fingerprints.items() if name in names},
    )
    vectors_ND = tower.item_embeddings(content)
    finite_N = np.logical_and.reduce(np.isfinite(vectors_ND), axis=1)
    return EmbeddedUpdates(
        item_ids=tuple(item_id for item_id, finite in zip(usable, finite_N.tolist(), strict=True) if finite),
        vectors_ND=vectors_ND[finite_N],
        modality_weights={n: share[finite_N] for n, share in tower.modality_weights(content).items()},
        num_unusable=num_unusable + int((~finite_N).sum()),
    )
