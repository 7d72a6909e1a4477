"""Why an item is on a list, or why not: the answer of ExplainItem in the order in which people ask.

First what became of it, in one sentence; then the stages that it passed, and the one that dropped it; then who proposed
it, which behaviors led there, and what each feature added to its score.
"""

from dataclasses import dataclass
from typing import Final

from mmrec.console.services import Services
from mmrec.console.shown_text import shown_text
from mmrec.console.storefront import MAX_ID, Card, Visitor, card_of
from mmrec.errors import InvalidRequestError
from mmrec.operating.instants import seconds_of
from mmrec.v1 import recommender_pb2

NUM_FEATURES: Final = 12
"""Features that added or took most; the others are told as one sum."""
_Outcome = recommender_pb2.ItemOutcome
STAGES: Final = (
    ("may be shown", {_Outcome.ITEM_OUTCOME_UNAVAILABLE}),
    ("passes the request's filter", {_Outcome.ITEM_OUTCOME_FILTERED, _Outcome.ITEM_OUTCOME_EXCLUDED}),
    ("is new to the visitor", {_Outcome.ITEM_OUTCOME_DONE}),
    ("is proposed by a source", {_Outcome.ITEM_OUTCOME_NOT_PROPOSED}),
    ("is among the candidates", {_Outcome.ITEM_OUTCOME_CUT}),
    ("is ranked high enough", {_Outcome.ITEM_OUTCOME_BELOW}),
)
"""Stages on the way to a list, and the outcomes of items that they drop."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One stage: "passed", "dropped", or "not reached"."""

    name: str
    state: str


@dataclass(frozen=True, kw_only=True)
class SourceRow:
    """What a source says of the item."""

    name: str
    rank: int
    """0: it does not propose it."""
    score: float
    gain: float


@dataclass(frozen=True, kw_only=True)
class FeatureRow:
    """What a feature added to the ranking score."""

    name: str
    value: float | None
    """None: several features together."""
    added: float
    share: int
    """Of the largest in the table, in percent; what a bar shows."""


@dataclass(frozen=True, kw_only=True)
class BehaviorRow:
    """A behavior of the visitor that led to the item."""

    behavior: str
    item_id: str
    relation: str
    strength: float
    event_s: float


@dataclass(frozen=True, kw_only=True)
class Why:
    """All of it."""

    card: Card
    is_listed: bool
    text: str
    reason: str
    place: int
    num_candidates: int
    score: float
    last_score: float
    candidates_score: float
    stages: tuple[Stage, ...]
    sources: tuple[SourceRow, ...]
    features: tuple[FeatureRow, ...]
    behaviors: tuple[BehaviorRow, ...]
    modalities: tuple[tuple[str, float], ...]
    degraded: tuple[str, ...]


def why(services: Services, visitor: Visitor, item_id: str) -> Why:
    """Ask for it, of a list as long as the storefront's.

    Raises:
        InvalidRequestError: there is no item to ask for.
        MmrecError: as RecommenderClient.explain().
    """
    if not item_id or len(item_id) > MAX_ID:
        raise InvalidRequestError(f"an item id has {len(item_id)} characters; give one of 1 to {MAX_ID}")
    answer = services.recommender.explain(
        visitor.user_id,
        item_id,
        anonymous_id=visitor.anonymous_id,
        num_items=services.settings.console.num_items,
    )
    return why_view(answer)


def why_view(answer: recommender_pb2.ExplainItemResponse) -> Why:
    """The answer in the order in which it is shown."""
    explanation = answer.item.explanation
    return Why(
        card=card_of(answer.item),
        is_listed=answer.outcome == _Outcome.ITEM_OUTCOME_LISTED,
        text=shown_text(answer.text, max_characters=400),
        reason=shown_text(explanation.text, max_characters=400),
        place=answer.place,
        num_candidates=answer.state.num_candidates,
        score=answer.item.ranking_score,
        last_score=answer.last_score,
        candidates_score=answer.candidates_score,
        stages=stages_of(answer.outcome),
        sources=tuple(
            SourceRow(name=s.source, rank=s.rank, score=s.score, gain=s.gain)
            for s in sorted(answer.sources, key=lambda s: (s.rank == 0, -s.gain, s.source))
        ),
        features=feature_rows(dict(answer.features), dict(answer.contributions)),
        behaviors=tuple(
            BehaviorRow(
                behavior=shown_text(b.behavior, max_characters=40),
                item_id=b.item_id,
                relation=b.relation,
                strength=b.strength,
                event_s=seconds_of(b.event_time),
            )
            for b in explanation.behaviors
        ),
        modalities=tuple(sorted(explanation.modality_weights.items(), key=lambda pair: -pair[1])),
        degraded=tuple(answer.state.degraded_reasons),
    )


def stages_of(outcome: int) -> tuple[Stage, ...]:
    """Stages up to the one that dropped the item, in order; all are passed where it is listed."""
    dropped = next((n for n, (_, outcomes) in enumerate(STAGES) if outcome in outcomes), len(STAGES))
    states = ["passed"] * dropped + ["dropped"] + ["not reached"] * len(STAGES)
    return tuple(Stage(name=name, state=state) for (name, _), state in zip(STAGES, states, strict=False))


def feature_rows(values: dict[str, float], contributions: dict[str, float]) -> tuple[FeatureRow, ...]:
    """The features that count most, the largest first, and the sum of all others."""
    ordered = sorted(contributions.items(), key=lambda pair: (-abs(pair[1]), pair[0]))
    largest = abs(ordered[0][1]) if ordered else 0.0
    shown, others = ordered[:NUM_FEATURES], ordered[NUM_FEATURES:]
    rows = [
        FeatureRow(name=name, value=values.get(name), added=added, share=_share(added, largest))
        for name, added in shown
    ]
    if others:
        rest = sum(added for _, added in others)
        rows.append(
            FeatureRow(name=f"{len(others)} others", value=None, added=rest, share=min(_share(rest, largest), 100))
        )
    return tuple(rows)


def _share(added: float, largest: float) -> int:
    return round(100 * abs(added) / largest) if largest > 0 else 0
