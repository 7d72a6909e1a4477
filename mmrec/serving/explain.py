"""Why an item is on a list: which behaviors, which source, which modality (METHODS M29).

Reasons are read from the same numbers that recall used, and only of sources that proposed the item; nothing is made up
afterwards. Axes: J items of the profile, K neighbors.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mmrec.catalog.item import CatalogEntry
from mmrec.recall.catalogue import Catalogue
from mmrec.scoring.behaviors import BehaviorSet
from mmrec.scoring.profile import UserProfile
from mmrec.serving.recommend import RecommendedList
from mmrec.wire.instants import rfc3339

MAX_REASONS = 3
SESSION_S = 1_800.0
"""A behavior this young is named first: it is what the user just did."""
DAY_S = 86_400.0
NEW_S = 14 * DAY_S
"""An item published this short a time ago is new."""
MIN_COSINE = 0.2
"""Below this two items do not look alike."""
_VERBS = {
    "browse": "browsed {}",
    "favorite": "saved {}",
    "cart": "put {} in the cart",
    "purchase": "bought {}",
    "watch": "watched {}",
    "like": "liked {}",
}
_RELATIONS = {
    "same item": "and may still want it",
    "neighbor": "and people who did also chose this",
    "similar": "and this is like it",
}


@dataclass(frozen=True, kw_only=True)
class BehaviorReason:
    """A behavior of the user that led to the item."""

    item_id: str
    behavior: str
    event_time_s: float
    relation: str
    """ "same item", "neighbor" or "similar"."""
    strength: float
    """Affinity, affinity times neighbor weight, or cosine, by relation."""


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """Why one item is on one list."""

    text: str
    behaviors: tuple[BehaviorReason, ...]
    modality_weights: dict[str, float]
    source_scores: dict[str, float]


def explain(
    row: int, found: RecommendedList, source_scores: dict[str, float], *, behaviors: BehaviorSet
) -> Explanation:
    """Reasons for the item at `row` of the catalogue, the ones the user will recognize first.

    Args:
        source_scores: What found.candidates.sources_of() says of the row.
    """
    catalogue = found.context.catalogue
    read_s = found.context.read_s
    reasons = sorted(
        _reasons(row, found, behaviors, source_scores),
        key=lambda r: (read_s - r.event_time_s > SESSION_S, list(_RELATIONS).index(r.relation), -r.strength),
    )[:MAX_REASONS]
    return Explanation(
        text=_sentence(row, reasons, source_scores, catalogue, read_s),
        behaviors=tuple(reasons),
        modality_weights={
            name: float(share_I[row]) for name, share_I in catalogue.modality_weights.items() if share_I[row] > 0
        },
        source_scores=source_scores,
    )


def _reasons(
    row: int, found: RecommendedList, behaviors: BehaviorSet, source_scores: Mapping[str, float]
) -> list[BehaviorReason]:
    context, profile = found.context, found.profile
    catalogue, own_rows_J = context.catalogue, context.own_rows_J
    if not profile.num_items:
        return []
    reasons = []
    same = np.flatnonzero(own_rows_J == row)
    if "own" in source_scores and len(same):
        reasons.append(_reason(profile, int(same[0]), "same item", float(context.affinity_J[same[0]]), behaviors))
    if "neighbors" in source_scores and context.own_neighbors is not None:
        near = context.own_neighbors
        weights_J = (near.weights_IK * (near.rows_IK == row)).sum(axis=1) * context.affinity_J
        leading = np.argsort(-weights_J, kind="stable")[:MAX_REASONS]
        newest = np.argmax(np.where(weights_J > 0, profile.reference_times_I, -np.inf))
        reasons += [
            _reason(profile, own, "neighbor", float(weights_J[own]), behaviors)
            for own in dict.fromkeys([int(newest), *leading.tolist()])
            if weights_J[own] > 0
        ]
    if source_scores.keys() & {"similar", "vectors"} and catalogue.index is not None and catalogue.embedded_I[row]:
        vectors_ID = catalogue.index.vectors_ID
        known = np.flatnonzero((own_rows_J >= 0) & (own_rows_J != row))
        if len(known):
            # Among items about as alike, the one touched last is what the user remembers.
            youngest = known[np.argsort(-profile.reference_times_I[known], kind="stable")][:5]
            cosines = vectors_ID[own_rows_J[youngest]] @ vectors_ID[row]
            best = int(np.argmax(cosines))
            if cosines[best] >= MIN_COSINE:
                reasons.append(_reason(profile, int(youngest[best]), "similar", float(cosines[best]), behaviors))
    return reasons


def _reason(profile: UserProfile, own: int, relation: str, strength: float, behaviors: BehaviorSet) -> BehaviorReason:
    """The newest known behavior on an own item: the event itself, or the heaviest of its counts."""
    item_id, recent_item_ids = profile.item_ids[own], profile.recent_item_ids
    for number in range(len(recent_item_ids) - 1, -1, -1):
        if recent_item_ids[number] == item_id:
            places = np.flatnonzero(behaviors.ids_B == profile.recent_behavior_ids_L[number])
            if len(places):
                name = behaviors.names[int(places[0])]
                time_s = float(profile.recent_event_times_L[number])
                return BehaviorReason(
                    item_id=item_id, behavior=name, event_time_s=time_s, relation=relation, strength=strength
                )
    counts_B = profile.counts(behaviors)[own, 0, :] * behaviors.weights_B
    return BehaviorReason(
        item_id=item_id,
        behavior=behaviors.names[int(np.argmax(counts_B))],
        event_time_s=float(profile.reference_times_I[own]),
        relation=relation,
        strength=strength,
    )


def _sentence(
    row: int, reasons: list[BehaviorReason], source_scores: dict[str, float], catalogue: Catalogue, read_s: float
) -> str:
    if reasons:
        reason = reasons[0]
        own_row = catalogue.row_of.get(reason.item_id)
        title = (catalogue.entries[own_row].title if own_row is not None else "") or reason.item_id
        verb = _VERBS.get(reason.behavior, f'did "{reason.behavior}" on {{}}').format(f'"{title}"')
        return f"You {verb} {_ago(read_s - reason.event_time_s)} {_RELATIONS[reason.relation]}."
    if "vectors" in source_scores:
        return "It fits what you looked at lately."
    if "popular" in source_scores and source_scores["popular"] > 0:
        return "Many people choose it these days."
    published_s = catalogue.entries[row].publish_time_s
    if published_s and 0 <= read_s - published_s < NEW_S:
        return "It is new here."
    return "Few people have found it yet."


def shown_when(entry: CatalogEntry, *, now_s: float) -> str:
    """Whether lists may hold an item, in words: "now", "not before <instant>", or "never: <availability>"."""
    if not entry.availability.can_be_shown:
        return f"never: {entry.availability.name}"
    if entry.publish_time_s > now_s:
        return f"not before {rfc3339(entry.publish_time_s)}"
    return "now"


def _ago(age_s: float) -> str:
    units = ((365 * DAY_S, "years"), (30 * DAY_S, "months"), (DAY_S, "days"), (3_600.0, "hours"), (60.0, "minutes"))
    for unit_s, name in units:
        if age_s >= 2 * unit_s:
            return f"{age_s / unit_s:.0f} {name} ago"
    return f"{age_s:.0f} seconds ago" if age_s >= 2 else "just now"
