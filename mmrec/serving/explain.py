"""Why an item is on a list: which behaviors, which source, which modality (METHODS M29).

The sources that proposed the item give the reasons, from the numbers that led to the proposal; none is invented
afterwards. This module orders them and puts them into words. Axis: J items of the profile.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mmrec.catalog.item import CatalogEntry
from mmrec.recall.context import RecallContext
from mmrec.recall.source import OwnReason, PlainReason, Reason, RecallSource
from mmrec.serving.recommend import RecommendedList
from mmrec.telemetry.logs import get_logger
from mmrec.wire.instants import rfc3339

log = get_logger(__name__)
MAX_REASONS = 3
SESSION_S = 1_800.0
"""A behavior within this time is named first: it is what the user just did."""
DAY_S = 86_400.0
NEW_S = 14 * DAY_S
"""An item published within this time is new."""


@dataclass(frozen=True, kw_only=True)
class BehaviorReason:
    """A behavior of the user that led to the item."""

    item_id: str
    behavior: str
    event_time_s: float
    relation: str
    """How it led there, in the source's words: "same item", "neighbor", "similar"."""
    strength: float
    """Affinity, affinity times neighbor weight, or cosine, depending on the relation."""


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """Why one item is on one list."""

    text: str
    behaviors: tuple[BehaviorReason, ...]
    modality_weights: dict[str, float]
    source_scores: dict[str, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Told:
    """A source's reason with the behavior it is about."""

    reason: OwnReason
    behavior: BehaviorReason
    phrase: str


def explain(row: int, found: RecommendedList, source_scores: dict[str, float]) -> Explanation:
    """Reasons for the item at `row` of the catalogue; those that the user will recognize come first.

    Args:
        source_scores: Result of found.candidates.sources_of() for the row.
    """
    context = found.context
    proposing = [source for source, _ in found.candidates.found if source.name in source_scores]
    reasons = [reason for source in proposing for reason in _reasons(source, row, context)]
    once: dict[tuple[str, int], OwnReason] = {}
    for reason in reasons:
        if isinstance(reason, OwnReason):
            once.setdefault((reason.relation, reason.own), reason)
    told = sorted(
        [_told(each, context) for each in once.values()],
        key=lambda t: (
            context.read_s - t.behavior.event_time_s > SESSION_S,
            t.reason.precedence,
            -t.reason.strength,
        ),
    )[:MAX_REASONS]
    return Explanation(
        text=_sentence(row, told, reasons, context),
        behaviors=tuple(each.behavior for each in told),
        modality_weights={
            name: float(share_I[row])
            for name, share_I in context.catalogue.modality_weights.items()
            if share_I[row] > 0
        },
        source_scores=source_scores,
    )


def _reasons(source: RecallSource, row: int, context: RecallContext) -> Sequence[Reason]:
    """What one source says; nothing where it raises, since a list is worth more than its explanation."""
    try:
        return tuple(source.reasons(row, context))
    except Exception as error:  # one source must not take the list with it
        log.error("source_reasons_failed", source=source.name, error=repr(error))
        return ()


@dataclass(frozen=True, kw_only=True, slots=True)
class NewestBehavior:
    """What the user did last on one of the profile's items."""

    item_id: str
    behavior: str
    event_time_s: float
    phrase: str
    """Such as: put "Red scarf" in the cart."""


def newest_behavior(own: int, context: RecallContext) -> NewestBehavior:
    """The newest known behavior on the profile's item at place `own`: the event, or the heaviest of its counts."""
    profile, behaviors = context.profile, context.behaviors
    item_id, recent_item_ids = profile.item_ids[own], profile.recent_item_ids
    behavior, time_s = None, float(profile.reference_times_I[own])
    for number in range(len(recent_item_ids) - 1, -1, -1):
        if recent_item_ids[number] == item_id:
            places = np.flatnonzero(behaviors.ids_B == profile.recent_behavior_ids_L[number])
            if len(places):
                behavior, time_s = int(places[0]), float(profile.recent_event_times_L[number])
                break
    if behavior is None:
        behavior = int(np.argmax(profile.counts(behaviors)[own, 0, :] * behaviors.weights_B))
    configured = behaviors.behaviors[behavior]
    row = context.catalogue.row_of.get(item_id)
    title = (context.catalogue.entries[row].title if row is not None else "") or item_id
    return NewestBehavior(
        item_id=item_id, behavior=configured.name, event_time_s=time_s, phrase=configured.said_of(title)
    )


def _told(reason: OwnReason, context: RecallContext) -> _Told:
    """A reason with the newest known behavior on its own item."""
    done = newest_behavior(reason.own, context)
    return _Told(
        reason=reason,
        behavior=BehaviorReason(
            item_id=done.item_id,
            behavior=done.behavior,
            event_time_s=done.event_time_s,
            relation=reason.relation,
            strength=reason.strength,
        ),
        phrase=done.phrase,
    )


def _sentence(row: int, told: list[_Told], reasons: Sequence[Reason], context: RecallContext) -> str:
    if told:
        first = told[0]
        return f"You {first.phrase} {_ago(context.read_s - first.behavior.event_time_s)} {first.reason.words}."
    plain = [reason for reason in reasons if isinstance(reason, PlainReason)]
    if plain:
        return min(plain, key=lambda reason: reason.precedence).sentence
    published_s = context.catalogue.entries[row].publish_time_s
    if published_s and 0 <= context.read_s - published_s < NEW_S:
        return "It is new here."
    return "Few people have found it yet."


def shown_when(entry: CatalogEntry, *, now_s: float) -> str:
    """Whether lists may contain an item: "now", "not before <instant>", "not since <instant>", or "never: ..."."""
    if not entry.availability.can_be_shown:
        return f"never: {entry.availability.name}"
    if entry.has_expired(now_s):
        return f"not since {rfc3339(entry.expire_time_s)}"
    if entry.publish_time_s > now_s:
        return f"not before {rfc3339(entry.publish_time_s)}"
    return "now"


def _ago(age_s: float) -> str:
    units = ((365 * DAY_S, "years"), (30 * DAY_S, "months"), (DAY_S, "days"), (3_600.0, "hours"), (60.0, "minutes"))
    for unit_s, name in units:
        if age_s >= 2 * unit_s:
            return f"{age_s / unit_s:.0f} {name} ago"
    return f"{age_s:.0f} seconds ago" if age_s >= 2 else "just now"
