"""Pictures and texts in one space: a trained alignment, read and run in NumPy (METHODS M19).

    alignment = AlignmentModel.load(folder)
    alignment.embed_texts(title_vectors) @ alignment.embed_images(image_vectors).T         cosines of texts and pictures

Each side has its own heads on the frozen encoder's vector x, and what they say is put side by side:

    z   = P (x - mean)                                                P: principal components, fitted once
    v_h = norm( A_h z + B_h relu(C_h z + c_h) + a_h )                                      of head h
    v   = [v_1; ...; v_H] / sqrt(H)                                   so a cosine is the mean of the heads' cosines

The networks of mmrec.models.alignment are the reference; a test holds both equal. A folder holds a model:
`alignment.npz` and `alignment.json`.
Axes: N inputs, X width of an encoder, P components of it, H width of the bend, D embedding.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import numpy as np

from mmrec.content.matrix import BoolArray, ContentMatrix, FloatArray, is_same_encoder
from mmrec.content.model_folder import describe_model, described_model
from mmrec.disk.files import replacing
from mmrec.errors import IncompatibleStateError

FORMAT: Final = 1
DESCRIPTION: Final = "alignment.json"
WEIGHTS: Final = "alignment.npz"
IMAGE: Final = "image"
TEXT: Final = "text"
SIDES: Final = (IMAGE, TEXT)
"""Modalities that are brought together."""
ALIGNED: Final = "aligned"
"""Modality of a content matrix: what an alignment makes of an item; see with_aligned()."""
_BLOCK: Final = 4_096


@dataclass(frozen=True, kw_only=True, eq=False)
class Head:
    """One head of one side, as arrays."""

    skip: FloatArray
    """A, (P, D)."""
    inner: FloatArray
    """C, (P, H)."""
    inner_bias: FloatArray
    outer: FloatArray
    """B, (H, D)."""
    bias: FloatArray
    """a, (D,)."""

    def __call__(self, z_NP: FloatArray) -> FloatArray:
        hidden = z_NP @ self.inner
        hidden += self.inner_bias
        np.maximum(hidden, 0.0, out=hidden)
        return unit(np.asarray(z_NP @ self.skip + hidden @ self.outer + self.bias, dtype=np.float32))


@dataclass(frozen=True, kw_only=True, eq=False)
class Side:
    """What makes vectors of one modality."""

    mean: FloatArray
    components: FloatArray
    """(X, P)."""
    heads: tuple[Head, ...]

    def __call__(self, x_NX: FloatArray) -> FloatArray:
        z_NP = np.asarray((x_NX - self.mean) @ self.components, dtype=np.float32)
        beside_N = np.concatenate([head(z_NP) for head in self.heads], axis=1)
        return np.asarray(beside_N / np.sqrt(len(self.heads)), dtype=np.float32)


@dataclass(frozen=True, kw_only=True, eq=False)
class AlignmentModel:
    """A trained alignment."""

    sides: Mapping[str, Side]
    """By modality: SIDES."""
    encoders: Mapping[str, str]
    """Modality -> name of the encoder whose vectors it reads."""
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    """Modality -> fingerprint of that encoder; left out where the encoder has none."""
    notes: Mapping[str, Any] = field(default_factory=dict)
    """How it was made: split, seeds, settings, figures."""

    @property
    def embedding_dim(self) -> int:
        """D, of all heads together."""
        return sum(head.skip.shape[1] for head in self.sides[TEXT].heads)

    @property
    def content_dims(self) -> dict[str, int]:
        """Modality -> X."""
        return {modality: len(side.mean) for modality, side in self.sides.items()}

    @cached_property
    def fingerprint(self) -> str:
        """Tells this alignment from every other: of all its weights."""
        seen = sha256()
        for modality in SIDES:
            side = self.sides[modality]
            arrays = (side.mean, side.components, *(array for head in side.heads for array in vars(head).values()))
            for array in arrays:
                seen.update(np.ascontiguousarray(array).tobytes())
        return seen.hexdigest()[:16]

    def embed_images(self, vectors_NX: FloatArray) -> FloatArray:
        """Unit vectors of pictures, given what their encoder made of them; shape (N, D)."""
        return self.embed(IMAGE, vectors_NX)

    def embed_texts(self, vectors_NX: FloatArray) -> FloatArray:
        """Unit vectors of texts, given what their encoder made of them; shape (N, D)."""
        return self.embed(TEXT, vectors_NX)

    def embed(self, modality: str, vectors_NX: FloatArray) -> FloatArray:
        """Unit vectors of one modality, shape (N, D).

        Raises:
            IncompatibleStateError: vectors of another width than the model was trained with.
        """
        width = self.content_dims[modality]
        if vectors_NX.ndim != 2 or vectors_NX.shape[1] != width:
            raise IncompatibleStateError(
                f"{modality} vectors have shape {vectors_NX.shape}, the alignment was trained with rows of {width} "
                f"numbers, by {self.encoders[modality]!r}; encode with that encoder, or train the alignment again"
            )
        found = np.empty((len(vectors_NX), self.embedding_dim), dtype=np.float32)
        for start in range(0, len(vectors_NX), _BLOCK):
            found[start : start + _BLOCK] = self.sides[modality](vectors_NX[start : start + _BLOCK])
        return found

    def embed_items(self, content: ContentMatrix) -> tuple[FloatArray, BoolArray]:
        """One vector per item: the unit mean of what its picture and its text say, shape (N, D); and who has one.

        A picture or text whose vector is of another encoder counts as missing: it means nothing here.
        """
        total = np.zeros((len(content), self.embedding_dim), dtype=np.float32)
        known = np.zeros(len(content), dtype=np.bool_)
        for modality in SIDES:
            if is_same_encoder(modality, content, self):
                has = content.present[modality]
                total[has] += self.embed(modality, content.values[modality][has])
                known |= has
        return unit(total), known

    def refuse_others(self, encoders: Mapping[str, str], fingerprints: Mapping[str, str] | None = None) -> None:
        """Check that vectors come from the encoders that the model was trained with.

        Args:
            encoders: Modality -> name; other modalities than SIDES, and those that are left out, are not compared.
            fingerprints: Modality -> fingerprint; what is not named is not compared.

        Raises:
            IncompatibleStateError: a modality has another encoder, or the same one with other weights or code.
        """
        for modality in SIDES:
            name = self.encoders[modality]
            if encoders.get(modality, name) != name:
                raise IncompatibleStateError(
                    f"the alignment reads {modality} vectors of {name!r}, these are of {encoders[modality]!r}; "
                    f"choose that encoder, or train the alignment again"
                )
            own, other = self.fingerprints.get(modality, ""), (fingerprints or {}).get(modality, "")
            if own and other and own != other:
                raise IncompatibleStateError(
                    f"the alignment reads {modality} vectors of {name!r} with the fingerprint {own}, these have "
                    f"{other}: its weights or code have changed; train the alignment again"
                )

    def save(self, folder: Path) -> None:
        """Write the model; the description last, so that a folder with one is whole."""
        folder.mkdir(parents=True, exist_ok=True)
        arrays: dict[str, Any] = {}
        for modality, side in self.sides.items():
            arrays |= {f"{modality}.mean": side.mean, f"{modality}.components": side.components}
            for number, head in enumerate(side.heads):
                arrays |= {f"{modality}.{number}.{name}": array for name, array in vars(head).items()}
        with replacing(folder / WEIGHTS) as file:
            np.savez(file, **arrays)
        described = {
            "encoders": dict(self.encoders),
            "fingerprints": dict(self.fingerprints),
            "content_dims": self.content_dims,
            "embedding_dim": self.embedding_dim,
            "num_heads": len(self.sides[TEXT].heads),
            "notes": dict(self.notes),
        }
        describe_model(folder, DESCRIPTION, described, format_number=FORMAT)

    @classmethod
    def load(cls, folder: Path) -> "AlignmentModel":
        """Read a saved model.

        Raises:
            IncompatibleStateError: files are missing or damaged, or this code cannot use them.
        """
        with described_model(folder, DESCRIPTION, format_number=FORMAT, what="alignment", task="align") as described:
            with (folder / WEIGHTS).open("rb") as file, np.load(file, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
            return cls(
                sides={modality: _side(arrays, modality, described["num_heads"]) for modality in SIDES},
                encoders=described["encoders"],
                fingerprints=described["fingerprints"],
                notes=described["notes"],
            )


def with_aligned(content: ContentMatrix, model: AlignmentModel) -> ContentMatrix:
    """The matrix with one more modality, ALIGNED: what the alignment makes of each item's picture and text."""
    values, present = model.embed_items(content)
    return replace(
        content,
        values={**content.values, ALIGNED: values},
        present={**content.present, ALIGNED: present},
        encoders={**content.encoders, ALIGNED: "alignment"},
        fingerprints={**content.fingerprints, ALIGNED: model.fingerprint},
    )


def _side(arrays: Mapping[str, FloatArray], modality: str, num_heads: int) -> Side:
    heads = [
        Head(**{name: arrays[f"{modality}.{number}.{name}"] for name in Head.__dataclass_fields__})
        for number in range(num_heads)
    ]
    return Side(mean=arrays[f"{modality}.mean"], components=arrays[f"{modality}.components"], heads=tuple(heads))


def unit(vectors_ND: FloatArray) -> FloatArray:
    """Rows of length one; rows of zeros stay."""
    lengths = np.linalg.norm(vectors_ND, axis=1, keepdims=True)
    return np.asarray(vectors_ND / np.where(lengths > 0, lengths, 1.0), dtype=np.float32)
