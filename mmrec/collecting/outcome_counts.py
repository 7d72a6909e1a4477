"""What the collector reports about itself: its answers by outcome and reason, and what it has under way.

    figures = CollectorFigures(in_flight=3, events=counts, items=OutcomeCounts(), overlay=overlay.figures())
    figures.document()                     {"in_flight": 3, "acknowledged": 7, "rejected": 1, "rejected.bad_id": 1, ...}
    collector_figures_in(document)         the same figures again

The document is what the collector's status file holds; nothing else knows its names.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

_ITEMS: Final = "items."
_OVERLAY: Final = "overlay_"


@dataclass(kw_only=True)
class OutcomeCounts:
    """Answers about one kind of records since the process started; counted up in place."""

    acknowledged: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    """By reason."""
    retry: Counter[str] = field(default_factory=Counter)
    """By reason."""

    def update(self, more: "OutcomeCounts") -> None:
        """Add what another one has counted."""
        self.acknowledged += more.acknowledged
        self.rejected.update(more.rejected)
        self.retry.update(more.retry)

    def answers(self) -> Iterator[tuple[str, str, int]]:
        """(outcome, reason, number) of all that was answered, each answer once; what needs no reason has ""."""
        if self.acknowledged:
            yield "acknowledged", "", self.acknowledged
        for outcome, by_reason in (("rejected", self.rejected), ("retry", self.retry)):
            yield from ((outcome, reason, number) for reason, number in by_reason.items())

    def document(self) -> dict[str, int]:
        """{"rejected": 3, "rejected.bad_id": 2, "rejected.bad_time": 1}: by outcome, and below it by reason."""
        totals = {"acknowledged": self.acknowledged, "rejected": self.rejected.total(), "retry": self.retry.total()}
        by_reason = {f"{outcome}.{reason}": number for outcome, reason, number in self.answers() if reason}
        return {**{outcome: number for outcome, number in totals.items() if number}, **by_reason}


@dataclass(frozen=True, kw_only=True)
class CollectorFigures:
    """All that one collector says of itself."""

    in_flight: int
    """Events not yet answered."""
    events: OutcomeCounts
    items: OutcomeCounts
    overlay: Mapping[str, int] = field(default_factory=dict)
    """OverlayWriter.figures()."""

    def answers(self) -> dict[str, int]:
        """What was answered, and what is under way, by the names of the document."""
        items = {_ITEMS + name: number for name, number in self.items.document().items()}
        return {"in_flight": self.in_flight, **self.events.document(), **items}

    def document(self) -> dict[str, int]:
        """Every count above 0 by its name, and all figures of the overlay."""
        return {**self.answers(), **self.overlay}


def collector_figures_in(document: Mapping[str, Any]) -> CollectorFigures:
    """What document() said; names that it never gives are left out."""
    items = {name.removeprefix(_ITEMS): number for name, number in document.items() if name.startswith(_ITEMS)}
    return CollectorFigures(
        in_flight=int(document.get("in_flight", 0)),
        events=_outcomes_in(document),
        items=_outcomes_in(items),
        overlay={name: int(number) for name, number in document.items() if name.startswith(_OVERLAY)},
    )


def _outcomes_in(document: Mapping[str, Any]) -> OutcomeCounts:
    def by_reason(outcome: str) -> Counter[str]:
        start = f"{outcome}."
        return Counter({n.removeprefix(start): int(number) for n, number in document.items() if n.startswith(start)})

    return OutcomeCounts(
        acknowledged=int(document.get("acknowledged", 0)), rejected=by_reason("rejected"), retry=by_reason("retry")
    )
