"""What became of the records that the stream has read: events by verdict, refused ones by reason, the rest by kind.

    counts += RecordCounts(verdicts={Verdict.ACCEPTED: 3}, rejected={"bad_time": 1}, served_lists=2)
    counts.document()                      {"accepted": 3, "rejected.bad_time": 1, "served_lists": 2}
    counts_in(counts.document())           the same counts again

The document is what the stored progress, the stream's status file and reports say; nothing else knows its names.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final

from mmrec.scoring.verdicts import Verdict

_REJECTED: Final = "rejected."


@dataclass(frozen=True, kw_only=True)
class RecordCounts:
    """Counts since the first record; those of repeated deliveries are not among them."""

    verdicts: Mapping[Verdict, int] = field(default_factory=dict)
    """Decoded events."""
    rejected: Mapping[str, int] = field(default_factory=dict)
    """Refused records by reason, a value of Rejection."""
    identified: int = 0
    """Logins."""
    forgotten_users: int = 0
    """Requests to forget."""
    not_configured: int = 0
    """Logged events that no profile has, since their behavior is configured no more."""
    served_lists: int = 0
    malformed_served_lists: int = 0
    unknown_fields: int = 0
    """Fields of records that nobody reads."""
    skipped_batches: int = 0
    """Kafka's batches that cannot be decoded."""
    pruned: int = 0
    """Items that went from profiles that were full."""

    @property
    def num_rejected(self) -> int:
        """Refused records, all reasons together."""
        return sum(self.rejected.values())

    @property
    def num_handled(self) -> int:
        """Events that came to a verdict and records that were refused, each once, however often it was delivered."""
        judged = (number for verdict, number in self.verdicts.items() if verdict is not Verdict.ALREADY_APPLIED)
        return sum(judged) + self.num_rejected

    def __add__(self, more: "RecordCounts") -> "RecordCounts":
        """Both together; what neither has counted is not named."""
        return RecordCounts(
            verdicts=dict(Counter(self.verdicts) + Counter(more.verdicts)),
            rejected=dict(Counter(self.rejected) + Counter(more.rejected)),
            **{name: getattr(self, name) + getattr(more, name) for name in KINDS},
        )

    def named_verdicts(self) -> dict[str, int]:
        """Decoded events by the name of their verdict."""
        return {verdict.name.lower(): number for verdict, number in self.verdicts.items()}

    def document(self) -> dict[str, int]:
        """Every count above 0 by its name, in the order of the names."""
        by_reason = {_REJECTED + reason: number for reason, number in self.rejected.items()}
        named = {**self.named_verdicts(), **by_reason, **{name: getattr(self, name) for name in KINDS}}
        return {name: named[name] for name in sorted(named) if named[name]}


KINDS: Final = tuple(each.name for each in fields(RecordCounts) if each.type is int)
"""Counts that are neither verdicts nor reasons."""


def counts_in(document: Mapping[str, Any]) -> RecordCounts:
    """What document() said; names that it never gives are left out."""
    verdicts = {verdict.name.lower(): verdict for verdict in Verdict}
    return RecordCounts(
        verdicts={verdicts[name]: int(number) for name, number in document.items() if name in verdicts},
        rejected={n.removeprefix(_REJECTED): int(number) for n, number in document.items() if n.startswith(_REJECTED)},
        **{name: int(document[name]) for name in KINDS if name in document},
    )
