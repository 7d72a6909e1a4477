"""A study: a table or the curves of a paper, as variants of models on one world (METHODS M37, M38, M5).

    Study(name="s3_ablations", variants=..., published=S3_ABLATIONS, ...)

A variant is a model of the zoo with some parameters fixed, on the world as it is or on one that lacks something. What
it does not fix is what tuning chose for its model on the world as it is. A new study is one file with a Study, and one
line in mmrec.experiments.studies; mmrec.experiments.study_run runs it cell by cell.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from mmrec.evaluation.interactions import BoolArray, ItemFeatures
from mmrec.evaluation.published import Published
from mmrec.evaluation.task import Task

Judged = Literal["test", "validation"]
"""Tables are of the test, train only and refit. Curves that one might choose by are of validation, train only."""
_CELL_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_.+-]*")


@dataclass(frozen=True, kw_only=True, eq=False)
class World:
    """What a model learns from and is asked."""

    task: Task
    items: ItemFeatures


Alteration = Callable[[World], World]
"""Another world to learn from, such as one with fewer labels; what is asked of whom stays."""


def as_it_is(world: World) -> World:
    """The world itself."""
    return world


def hiding(*names: str) -> Alteration:
    """A world without some modalities; "labels" are the attributes of items. Names that are not there are ignored."""
    return lambda world: replace(world, items=world.items.without(*names))


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One row of a table, or one point of a curve."""

    name: str
    """Of its cells: small letters, digits and _ . + -. Studies of one data set share cells of equal content by it."""
    model: str
    """Name in mmrec.zoo.registry."""
    label: str = ""
    """What tables show; the name where empty."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """What is fixed; the rest is what tuning chose for the model."""
    alter: Alteration = as_it_is
    printed: str = ""
    """Row of the study's published table that it stands beside; empty for none."""
    curve: str = ""
    """Name of the curve that it is a point of; empty for a row of the table."""
    value: float = 0.0
    """Where on the curve."""

    def __post_init__(self) -> None:
        if not _CELL_NAME.fullmatch(self.name):
            raise ValueError(f"a variant is called {self.name!r}; take small letters, digits and _ . + -")


def whole(world: World) -> Mapping[str, BoolArray]:
    """No parts."""
    del world
    return {}


@dataclass(frozen=True, kw_only=True)
class Study:
    """One table, or one set of curves."""

    name: str
    about: str
    """One sentence: what is shown."""
    data_sets: tuple[str, ...]
    """Names of mmrec.experiments.data_sets that it is usually run on."""
    variants: Callable[[World], Sequence[Variant]]
    """Of the world as it is: what can be hidden or swept depends on it. Their names are all different."""
    protocol: str = "user80_full"
    """Split and first candidates."""
    candidates: tuple[str, ...] = ("uniform_99", "uniform_19", "uniform_9")
    """Shown beside the protocol's."""
    metrics: tuple[str, ...] = ("hr_at_5", "ndcg_at_5")
    """Names of mmrec.evaluation.measure; differences to the reference are of the last one."""
    judged: Judged = "test"
    reference: str = ""
    """Name of the variant that all others are compared with, paired by user; empty compares none."""
    published: Published | None = None
    differs: tuple[str, ...] = ()
    """Sentences: why the paper's figures and ours do not mean the same."""
    encoders: Mapping[str, str] = field(default_factory=lambda: {"text": "hashing-tf", "image": "color-lab"})
    """Of content, where the command names none."""
    parts: Callable[[World], Mapping[str, BoolArray]] = whole
    """Positives of the test by part, such as the domain of their item, shape (P,): told apart."""
