"""Answers by outcome, and by reason where they have one: what the collector reports about itself."""

from collections import Counter


class OutcomeCounts:
    """Counts of one kind of records since the process started."""

    def __init__(self) -> None:
        self._outcomes: Counter[str] = Counter()
        self._reasons: Counter[tuple[str, str]] = Counter()

    def add(self, outcome: str, *, reason: str = "", number: int = 1) -> None:
        """Count `number` answers.

        Args:
            reason: Empty for an outcome that needs none.
        """
        self._outcomes[outcome] += number
        if reason:
            self._reasons[outcome, reason] += number

    def update(self, more: "OutcomeCounts") -> None:
        """Add what another one has counted."""
        self._outcomes.update(more._outcomes)
        self._reasons.update(more._reasons)

    def figures(self) -> dict[str, int]:
        """{"rejected": 3, "rejected.bad_id": 2, "rejected.bad_time": 1}: by outcome, and below it by reason."""
        return {**self._outcomes, **{f"{outcome}.{reason}": n for (outcome, reason), n in self._reasons.items()}}
