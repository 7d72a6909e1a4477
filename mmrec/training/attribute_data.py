"""What an attribute model learns from: content vectors of items, and the attributes that merchants gave (METHODS M11).

    examples = attribute_examples(content, entries, config)        examples.parts["train"], examples.labels_IA

Only given values are labels: a value that a model inferred would teach the next model its own mistakes. Items of one
title or picture stand in one part (mmrec.evaluation.group_split). Values are compared folded, "Unknown" is none; a
class is what at least `min_class_items` training items have. Rarer values and those of several values at once teach
nothing, and every prediction for such an item counts as wrong.
Axes: I items, A attributes, C classes of one attribute.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Annotated, Final

import numpy as np
import numpy.typing as npt
from msgspec import Meta

from mmrec.catalog.item import CatalogEntry
from mmrec.catalog.values import attribute_values, folded
from mmrec.content.inferred import is_missing
from mmrec.content.matrix import ContentMatrix
from mmrec.errors import ConfigurationError
from mmrec.evaluation.group_split import group_split
from mmrec.models.attribute_model import NO_LABEL
from mmrec.training.same_content import vector_digests
from mmrec.wire.declared import AtLeastOne, Count, check

NOT_READ: Final = ("attributes",)
"""Modalities that an attribute model never reads: they hold the answers."""


@dataclass(frozen=True, kw_only=True)
class AttributeDataConfig:
    """What is learned, from what."""

    attributes: tuple[str, ...] = ()
    """Names of the attributes; empty takes every one that has between two and `max_classes` classes."""
    modalities: tuple[str, ...] = ()
    """What is read; empty takes every modality of the content store but the attributes themselves."""
    min_class_items: AtLeastOne = 5
    """Training items that make a value a class."""
    max_classes: Annotated[int, Meta(ge=2)] = 200
    """An attribute of more is no category (a name, a size); it is left out unless `attributes` names it."""
    min_labelled: AtLeastOne = 50
    """An attribute that fewer training items have is left out unless `attributes` names it."""
    seed: Count = 1
    """Of the split."""

    def __post_init__(self) -> None:
        check(self, "attribute_data")


@dataclass(frozen=True, kw_only=True, eq=False)
class AttributeExamples:
    """I items with their labels, and the part that each stands in."""

    content: ContentMatrix
    """Rows of the items; of the modalities that are read, in the order of the inputs."""
    modalities: tuple[str, ...]
    classes: Mapping[str, tuple[str, ...]]
    """By attribute, as merchants wrote them most often, ascending."""
    labels_IA: npt.NDArray[np.int64]
    """Class of each item, NO_LABEL where it has none that is a class."""
    values: Mapping[str, tuple[str, ...]]
    """Attribute -> the folded value of each item as given, "" where none: what predictions are judged by."""
    parts: Mapping[str, npt.NDArray[np.int64]]
    """"train", "validation" and "test" -> rows."""
    left_out: Mapping[str, str]
    """Attribute -> why it is not learned."""

    @property
    def fingerprint(self) -> str:
        """Of items, vectors, labels and parts: another one is another run."""
        hashed = blake2b(json.dumps([self.content.item_ids, dict(self.classes)]).encode(), digest_size=8)
        for modality in self.modalities:
            hashed.update(self.content.values[modality].tobytes())
        for rows in (self.labels_IA, *self.parts.values()):
            hashed.update(rows.tobytes())
        return hashed.hexdigest()

    @property
    def attributes(self) -> tuple[str, ...]:
        """Names, in the order of axis A."""
        return tuple(self.classes)


def attribute_examples(
    content: ContentMatrix,
    entries: Mapping[str, CatalogEntry],
    config: AttributeDataConfig,
    *,
    groups: Sequence[Sequence[str]] = (),
) -> AttributeExamples:
    """The examples of a catalogue.

    Args:
        content: Any items; those without any modality that is read are left out.
        entries: Serving fields by item id; items without an entry are left out.
        groups: Further columns aligned with `content` that tie items together, such as digests of pictures.

    Raises:
        ConfigurationError: no modality or no attribute is left, or `config` names one that is not there.
    """
    modalities = _modalities(content, config)
    rows = [
        row
        for row, item_id in enumerate(content.item_ids)
        if item_id in entries and any(content.present[m][row] for m in modalities)
    ]
    if not rows:
        raise ConfigurationError(f"no item has an entry and any of {', '.join(modalities)}; encode the catalogue first")
    kept = content.select([content.item_ids[row] for row in rows])
    chosen = [entries[item_id] for item_id in kept.item_ids]
    columns = [[folded(entry.title) for entry in chosen], *_vector_digests(kept, modalities)]
    parts = group_split(*columns, *([column[row] for row in rows] for column in groups), seed=config.seed)
    given = [entry.given_attributes for entry in chosen]
    names = config.attributes or tuple(sorted({name for attributes in given for name in attributes}))
    values, classes, left_out = {}, {}, {}
    for name in names:
        written = ["" if is_missing(value := attributes.get(name, "")) else value for attributes in given]
        found = _classes([written[row] for row in parts["train"]], config.min_class_items)
        if why := _unfit(found, [written[row] for row in parts["train"]], config):
            left_out[name] = why
        if not why or (config.attributes and len(found) > 1):
            classes[name] = tuple(sorted(found.values()))
            values[name] = tuple(_folded_value(value) for value in written)
            left_out.pop(name, None)
    if not classes:
        why = "; ".join(f"{name}: {reason}" for name, reason in sorted(left_out.items())) or "no item has attributes"
        raise ConfigurationError(f"no attribute can be learned: {why}")
    labels = [_codes(values[name], classes[name]) for name in classes]
    return AttributeExamples(
        content=kept,
        modalities=modalities,
        classes=classes,
        labels_IA=np.stack(labels, axis=1),
        values=values,
        parts=parts,
        left_out=left_out,
    )


def _modalities(content: ContentMatrix, config: AttributeDataConfig) -> tuple[str, ...]:
    for name in config.modalities:
        if name in NOT_READ or name not in content.modalities:
            known = ", ".join(m for m in content.modalities if m not in NOT_READ)
            raise ConfigurationError(f"an attribute model cannot read {name!r}; the content store has: {known}")
    return config.modalities or tuple(m for m in content.modalities if m not in NOT_READ and content.present[m].any())


def _vector_digests(content: ContentMatrix, modalities: Sequence[str]) -> list[list[str]]:
    """A column per modality; "" for items that lack it."""
    columns = []
    for modality in modalities:
        digests, present = vector_digests(content.values[modality]), content.present[modality].tolist()
        columns.append([digest if has else "" for digest, has in zip(digests, present, strict=True)])
    return columns


def _folded_value(value: str) -> str:
    """A given value as it is compared; several values at once stay apart from each of them."""
    return "|".join(sorted({folded(part) for part in attribute_values(value)}))


def _classes(written: Sequence[str], least: int) -> dict[str, str]:
    """Folded value -> the form that is written most often, of values that at least `least` have."""
    forms: dict[str, Counter[str]] = {}
    for value in written:
        if len(parts := attribute_values(value)) == 1:
            forms.setdefault(folded(parts[0]), Counter())[parts[0]] += 1
    return {
        value: min(found, key=lambda form: (-found[form], form))
        for value, found in forms.items()
        if found.total() >= least
    }


def _unfit(classes: Mapping[str, str], written: Sequence[str], config: AttributeDataConfig) -> str:
    """Why an attribute cannot be learned; nothing where it can."""
    labelled = sum(1 for value in written if value.strip())
    if len(classes) < 2:
        return f"{len(classes)} of its values have {config.min_class_items} training items or more, at least 2 must"
    if len(classes) > config.max_classes:
        return f"it has {len(classes)} classes, above {config.max_classes}"
    if labelled < config.min_labelled:
        return f"{labelled} training items have it, {config.min_labelled} must"
    return ""


def _codes(values: Sequence[str], classes: Sequence[str]) -> npt.NDArray[np.int64]:
    number = {folded(name): code for code, name in enumerate(classes)}
    return np.array([number.get(value, NO_LABEL) for value in values], dtype=np.int64)
