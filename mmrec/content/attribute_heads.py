"""What an item's content says about its attributes: a trained attribute model, read and run in NumPy (METHODS M11).

    h_1 = relu(W_1 z + b_1),   h_l = h_(l-1) + relu(W_l h_(l-1) + b_l),   p_a = softmax((V_a h_L + c_a) / T_a)
    z = the modalities side by side, each (x - mean) / deviation and 0 where missing, then one flag each for "present"

T_a is a temperature (Guo et al., On Calibration of Modern Neural Networks, ICML 2017), one for each set of modalities
that an item may have: a model is surer with a picture than without. The network of mmrec.models.attribute_model is the
reference; a test holds both equal. A folder holds a model: `weights.safetensors` and `attributes.json`.
Axes: N items, M modalities, F inputs, C classes of one attribute, H width of the trunk.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import combinations
from pathlib import Path
from typing import Any, Final

import numpy as np
from safetensors.numpy import load_file, save_file

from mmrec.content.matrix import BoolArray, ContentMatrix, FloatArray
from mmrec.content.model_folder import describe_model, described_model
from mmrec.errors import IncompatibleStateError

FORMAT: Final = 1
DESCRIPTION: Final = "attributes.json"
WEIGHTS: Final = "weights.safetensors"


@dataclass(frozen=True, kw_only=True)
class Head:
    """One attribute that a model knows."""

    classes: tuple[str, ...]
    """Its values, by output; as merchants wrote them most often."""
    temperatures: Mapping[str, float] = field(default_factory=dict)
    """Modalities that an item has, as pattern() writes them -> T_a; 1 where none was fitted."""


@dataclass(frozen=True, kw_only=True, eq=False)
class AttributeHeads:
    """A trained attribute model."""

    content_dims: Mapping[str, int]
    """Modality -> width of its vectors, in the order of the inputs."""
    encoders: Mapping[str, str]
    """Modality -> name of the encoder that it was trained with."""
    fingerprints: Mapping[str, str]
    """Modality -> fingerprint of that encoder; left out where the encoder has none."""
    heads: Mapping[str, Head]
    """By attribute."""
    weights: Mapping[str, FloatArray]
    """Arrays by name: mean_F, deviation_F, trunk.<layer>.weight and .bias, heads.<attribute>.weight and .bias."""
    notes: Mapping[str, Any] = field(default_factory=dict)
    """How it was made: split, seed, settings, figures."""

    def __post_init__(self) -> None:
        num_inputs = sum(self.content_dims.values()) + len(self.content_dims)
        firsts = ["trunk.0.weight"] if self.num_layers else [f"heads.{name}.weight" for name in self.heads]
        for first in firsts:
            if (found := self.weights[first].shape[1]) != num_inputs:
                raise IncompatibleStateError(
                    f"{first} reads {found} inputs, {dict(self.content_dims)} gives {num_inputs}"
                )
        for name, head in self.heads.items():
            if len(self.weights[f"heads.{name}.bias"]) != len(head.classes):
                raise IncompatibleStateError(f"head {name!r} has {len(head.classes)} classes and other weights")

    @property
    def modalities(self) -> tuple[str, ...]:
        """What it reads, in the order of the inputs."""
        return tuple(self.content_dims)

    @property
    def num_layers(self) -> int:
        """Layers of the trunk; without any the model is a linear one."""
        return sum(name.startswith("trunk.") for name in self.weights) // 2

    @property
    def fingerprint(self) -> str:
        """Of weights, classes and temperatures."""
        said = {n: [h.classes, sorted(h.temperatures.items())] for n, h in sorted(self.heads.items())}
        hashed = sha256(json.dumps([said, list(self.content_dims.items())]).encode())
        for name in sorted(self.weights):
            hashed.update(name.encode() + self.weights[name].tobytes())
        return hashed.hexdigest()[:16]

    def refuse_others(self, encoders: Mapping[str, str], fingerprints: Mapping[str, str]) -> None:
        """Check that vectors come from the encoders that the model was trained with.

        Args:
            encoders: Modality -> name of the encoder.
            fingerprints: Modality -> fingerprint; a model that is older than fingerprints goes by names alone.

        Raises:
            IncompatibleStateError: a modality has another encoder, or the same one with other weights or code.
        """
        for modality in self.modalities:
            name, found = self.encoders[modality], encoders.get(modality)
            if found != name:
                raise IncompatibleStateError(
                    f"the attribute model reads {modality} vectors of {name!r}, these are of {found!r}; "
                    f"choose that encoder, or train the attribute model again"
                )
            own, other = self.fingerprints.get(modality, ""), fingerprints.get(modality, "")
            if own and own != other:
                raise IncompatibleStateError(
                    f"the attribute model reads {modality} vectors of {name!r} with the fingerprint {own}, these have "
                    f"{other or 'none'}: its weights or code have changed; train the attribute model again"
                )

    def embed(self, content: ContentMatrix) -> FloatArray:
        """Output of the trunk, h_L, shape (N, H): products of like attributes lie near each other in it."""
        hidden = self._standard(content)
        for layer in range(self.num_layers):
            after = hidden @ self.weights[f"trunk.{layer}.weight"].T + self.weights[f"trunk.{layer}.bias"]
            np.maximum(after, 0.0, out=after)
            hidden = after if layer == 0 else hidden + after
        return hidden

    def probabilities(self, content: ContentMatrix) -> dict[str, FloatArray]:
        """Attribute -> calibrated probabilities, shape (N, C).

        An item without any of the modalities gets what is usual among the training items.

        Raises:
            IncompatibleStateError: vectors of another encoder or of another width.
        """
        hidden = self.embed(content)
        patterns = patterns_of(content, self.modalities)
        found: dict[str, FloatArray] = {}
        for name, head in self.heads.items():
            logits = hidden @ self.weights[f"heads.{name}.weight"].T + self.weights[f"heads.{name}.bias"]
            temperatures_N = np.array([head.temperatures.get(p, 1.0) for p in patterns], dtype=np.float32)
            found[name] = softmax(logits / temperatures_N[:, None])
        return found

    def attribute_space(self, content: ContentMatrix) -> FloatArray:
        """Square roots of all heads' probabilities side by side, of length 1; shape (N, sum of C).

        The dot product of two items is the mean over attributes of sum_c sqrt(p_c q_c), the Bhattacharyya coefficient
        of what they are likely to be: neighbors are items that the model takes to have the same attributes.
        """
        roots = [np.sqrt(chances) for chances in self.probabilities(content).values()]
        return np.concatenate(roots, axis=1, dtype=np.float32) / np.float32(np.sqrt(len(roots)))

    def _standard(self, content: ContentMatrix) -> FloatArray:
        self.refuse_others(content.encoders, content.fingerprints)
        for modality, width in self.content_dims.items():
            if content.values[modality].shape[1] != width:
                raise IncompatibleStateError(
                    f"{modality} vectors are {content.values[modality].shape[1]} wide, the attribute model was trained "
                    f"with {width}; encode the catalogue again"
                )
        values_NF, present_NF = side_by_side(content, self.modalities)
        standard = np.where(present_NF, (values_NF - self.weights["mean_F"]) / self.weights["deviation_F"], 0.0)
        flags = [content.present[m][:, None].astype(np.float32) for m in self.modalities]
        return np.concatenate([standard, *flags], axis=1, dtype=np.float32)

    def save(self, folder: Path) -> None:
        """Write the model; the description last, so that a folder with one is whole."""
        folder.mkdir(parents=True, exist_ok=True)
        save_file({name: np.ascontiguousarray(array) for name, array in self.weights.items()}, folder / WEIGHTS)
        described = {
            "content_dims": dict(self.content_dims),
            "encoders": dict(self.encoders),
            "fingerprints": dict(self.fingerprints),
            "heads": {
                n: {"classes": list(h.classes), "temperatures": dict(h.temperatures)} for n, h in self.heads.items()
            },
            "notes": dict(self.notes),
        }
        describe_model(folder, DESCRIPTION, described, format_number=FORMAT)

    @classmethod
    def load(cls, folder: Path) -> "AttributeHeads":
        """Read a saved model.

        Raises:
            IncompatibleStateError: files are missing or damaged, or this code cannot use them.
        """
        what, task = "attribute model", "attributes"
        with described_model(folder, DESCRIPTION, format_number=FORMAT, what=what, task=task) as described:
            return cls(
                content_dims=described["content_dims"],
                encoders=described["encoders"],
                fingerprints=described["fingerprints"],
                heads={
                    name: Head(classes=tuple(head["classes"]), temperatures=head["temperatures"])
                    for name, head in described["heads"].items()
                },
                weights=load_file(folder / WEIGHTS),
                notes=described["notes"],
            )


def pattern(modalities: Sequence[str]) -> str:
    """How a set of modalities is written: "image+text"."""
    return "+".join(sorted(modalities))


def all_patterns(modalities: Sequence[str]) -> list[tuple[str, ...]]:
    """Every set of modalities that an item may have, the empty one left out, the fullest first."""
    sizes = range(len(modalities), 0, -1)
    return [chosen for size in sizes for chosen in combinations(modalities, size)]


def patterns_of(content: ContentMatrix, modalities: Sequence[str]) -> list[str]:
    """Each item's pattern."""
    present_NM = np.stack([content.present[m] for m in modalities], axis=1)
    return [pattern([m for m, has in zip(modalities, row, strict=True) if has]) for row in present_NM.tolist()]


def side_by_side(content: ContentMatrix, modalities: Sequence[str]) -> tuple[FloatArray, BoolArray]:
    """Values of the modalities beside each other, shape (N, F), and whether each is there."""
    values = np.concatenate([content.values[m] for m in modalities], axis=1, dtype=np.float32)
    present = [np.repeat(content.present[m][:, None], content.values[m].shape[1], axis=1) for m in modalities]
    return values, np.concatenate(present, axis=1)


def softmax(logits_NC: FloatArray) -> FloatArray:
    """Probabilities of rows."""
    powers = np.exp(logits_NC - logits_NC.max(axis=1, keepdims=True))
    shares: FloatArray = powers / powers.sum(axis=1, keepdims=True)
    return shares
