"""The one schema of everything the feature store holds: names, types and order.

feature_repo/ generates its Feast views from here, and the adapter reads and writes by these names. The fingerprint of
all of it, including the ranking row and the packed formats, is in every release and is checked when it is loaded.
"""

import hashlib
import json
from dataclasses import dataclass, replace
from enum import Enum

from mmrec.errors import InvalidRequestError, NotFoundError
from mmrec.scoring import item_statistics, packing


class ValueType(Enum):
    """Types of stored values, under the names Feast has for them."""

    BYTES = "Bytes"
    STRING = "String"
    INT64 = "Int64"
    FLOAT64 = "Float64"
    STRINGS = "Array(String)"
    FLOAT32S = "Array(Float32)"
    FLOAT64S = "Array(Float64)"


@dataclass(frozen=True, kw_only=True)
class Field:
    """One named value of a view."""

    name: str
    value_type: ValueType
    description: str


@dataclass(frozen=True, kw_only=True)
class View:
    """One feature view: an entity and the values kept for it."""

    name: str
    entity: str
    join_key: str
    fields: tuple[Field, ...]
    description: str


def _field(name: str, value_type: ValueType, description: str) -> Field:
    return Field(name=name, value_type=value_type, description=description)


USER_PROFILE = View(
    name="user_profile",
    entity="user",
    join_key="user_key",
    description="A user's row of the scoring matrix. Serving reads `packed`; the rest is as of the row's write.",
    fields=(
        _field("packed", ValueType.BYTES, "the whole profile, mmrec.scoring.packing"),
        _field("clear", ValueType.STRING, "JSON: top items, totals, times, weights version (mmrec.features.clear)"),
    ),
)
USER_PROFILE_B = replace(
    USER_PROFILE, name="user_profile_b", description="The same; one of the two is live, the other is rebuilt."
)
PROFILE_VIEWS = {"a": USER_PROFILE, "b": USER_PROFILE_B}
"""View of each generation of profiles."""
GENERATIONS = tuple(PROFILE_VIEWS)
CONTROL_PREFIX = "\x01"
"""Prefix of the keys of other rows among the profiles; no user key begins with a control character."""
STREAM_PROGRESS_KEY = "\x01stream-progress"
"""Key of the row of a profile view that holds StreamProgress."""
GENERATION_KEY = "\x01generation"
"""Key of the row of a profile view that holds the decay rates of its counts."""
LIVE_KEY = "\x01live-generation"
"""Key of the row of user_profile that names the live generation."""
FLIP_KEY = "\x01requested-flip"
"""Key of the row of user_profile that names the generation requested to become live."""

ITEM_STATS = View(
    name="item_stats",
    entity="item",
    join_key="item_id",
    description="Decayed counts of one item per behavior and half-life.",
    fields=(
        _field("packed", ValueType.BYTES, "mmrec.scoring.item_statistics"),
        _field("reference_time_s", ValueType.FLOAT64, "instant the counts are as of, epoch seconds"),
    ),
)
ITEM_NEIGHBORS = View(
    name="item_neighbors",
    entity="item",
    join_key="item_id",
    description="Items that go with one item, strongest first.",
    fields=(
        _field("neighbor_ids", ValueType.STRINGS, "strongest first"),
        _field("weights", ValueType.FLOAT32S, "strength of each"),
        _field("built_time_s", ValueType.FLOAT64, "when they were built, epoch seconds"),
    ),
)
ITEM_CONTENT = View(
    name="item_content",
    entity="item",
    join_key="item_id",
    description="What serving knows of an item.",
    fields=(
        _field("entry", ValueType.STRING, "JSON of CatalogEntry, all of it"),
        _field("title", ValueType.STRING, "for people"),
        _field("price", ValueType.FLOAT64, "0 where unknown"),
        _field("availability", ValueType.INT64, "number of mmrec.v1.Availability"),
    ),
)
POPULAR_ITEMS = View(
    name="popular_items",
    entity="domain",
    join_key="domain",
    description='The items a domain likes most; domain "" stands for all.',
    fields=(
        _field("item_ids", ValueType.STRINGS, "most popular first"),
        _field("popularity", ValueType.FLOAT64S, "decayed, weighted events as of as_of_s"),
        _field("as_of_s", ValueType.FLOAT64, "epoch seconds"),
    ),
)
VIEWS = (USER_PROFILE, USER_PROFILE_B, ITEM_STATS, ITEM_NEIGHBORS, ITEM_CONTENT, POPULAR_ITEMS)
PACKED_FORMATS = {**{v.name: packing.FORMAT for v in PROFILE_VIEWS.values()}, ITEM_STATS.name: item_statistics.FORMAT}
"""Version of the field `packed` of each view that has one."""


def store_fingerprint() -> str:
    """Fingerprint of the views and of their packed formats; an applied repository must have the same one."""
    lines = [[view.name, view.join_key, field.name, field.value_type.value] for view in VIEWS for field in view.fields]
    return _digest([lines, PACKED_FORMATS])


def feature_fingerprint() -> str:
    """Fingerprint of the views and of the ranking row's names and order; a release must have the same one."""
    from mmrec.features.assemble import FEATURE_NAMES

    return _digest([store_fingerprint(), list(FEATURE_NAMES)])


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, separators=(",", ":")).encode()).hexdigest()[:16]


def check_generation(name: str) -> str:
    """The name; NotFoundError where no generation has it."""
    if name not in GENERATIONS:
        raise NotFoundError(f"there is no generation {name!r} of profiles; known: {', '.join(GENERATIONS)}")
    return name


def check_idle_generation(name: str, *, live: str) -> str:
    """The name; InvalidRequestError where it is the live one."""
    if check_generation(name) == live:
        raise InvalidRequestError(f"generation {name!r} is live and cannot be emptied; fill the other one and flip")
    return name


def other_generation(name: str) -> str:
    """The one that is not `name`."""
    return GENERATIONS[1 - GENERATIONS.index(check_generation(name))]
