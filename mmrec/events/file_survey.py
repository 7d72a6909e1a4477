"""Checks a file before any of it is sent: what the codec would decide about its events.

    found = survey(file.rows(), edit, behaviors=..., settings=..., now_s=...)
    found.check(...)     raises where sending would have no effect, or not the intended one

The codec itself decides, in its columnar form, so the result is what will happen on Kafka.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

import pyarrow as pa

from mmrec.config import EventSettings
from mmrec.errors import InvalidRequestError
from mmrec.events.codec import decode_batch
from mmrec.events.columns import RAW_SCHEMA
from mmrec.events.event_edits import EventEdit, document_of
from mmrec.events.event_files import FileRow
from mmrec.events.rejection import Rejection
from mmrec.scoring.behaviors import BehaviorSet
from mmrec.wire.portions import portions
from mmrec.wire.shown import shown

MAX_SAMPLES: Final = 5
"""Refused rows that are shown."""
_MAX_NAMES: Final = 1_000
"""Names of behaviors that are counted separately."""
_MAX_SHOWN_NAMES: Final = 10
_ROWS: Final = 8_192


@dataclass(frozen=True, kw_only=True)
class RefusedRow:
    """An event that the codec refuses."""

    number: int
    """Of its line or row."""
    reason: str
    detail: str


@dataclass(kw_only=True)
class FileSurvey:
    """Counts over a file."""

    num_events: int = 0
    """Events that would be sent, refused ones among them."""
    num_untimed: int = 0
    """Events that would be accepted and have no time of their own, so that they count as of their arrival."""
    refused: Counter[str] = field(default_factory=Counter)
    """Events that would be refused, by reason."""
    samples: list[RefusedRow] = field(default_factory=list)
    """The first of them."""
    names: Counter[str] = field(default_factory=Counter)
    """Events by the name of their behavior in the file, those left out among them."""
    unknown: Counter[str] = field(default_factory=Counter)
    """Events that would be refused for their behavior, by its name."""
    left_out: Counter[str] = field(default_factory=Counter)
    """Events that the edit leaves out, by the name of their behavior in the file."""

    @property
    def sent_names(self) -> list[str]:
        """Names in the file whose events would be sent."""
        return [name for name in self.names if name not in self.left_out]

    @property
    def num_refused(self) -> int:
        """Events that would be refused."""
        return self.refused.total()

    def check(self, *, file_name: str, behaviors: BehaviorSet) -> None:
        """Check that sending the file would have the intended effect.

        Raises:
            InvalidRequestError: it has no events, has behaviors that are not configured, or nothing would be accepted.
        """
        if not self.num_events and not self.left_out:
            raise InvalidRequestError(f"{file_name} holds no events")
        if self.unknown:
            configured, name = ", ".join(behaviors.names), _name(self.unknown.most_common(1)[0][0])
            raise InvalidRequestError(
                f"{self.unknown.total():,} of {self.num_events:,} events of {file_name} have behaviors that are not "
                f"configured, so nothing was sent: {counted(self.unknown)}; configured are {configured}. Say which of "
                f"these each one is, as --behavior {name}={behaviors.names[0]}, configure them, or leave their events "
                f"out with --skip-unknown"
            )
        if not self.num_events:
            raise InvalidRequestError(
                f"nothing of {file_name} is left to send: {counted(self.left_out)} are of behaviors that are not "
                f"configured or were imported before; --again sends the latter once more"
            )
        if self.num_refused == self.num_events:
            first = self.samples[0]
            raise InvalidRequestError(
                f"no event of {file_name} would be taken, so nothing was sent: {counted(self.refused)}; "
                f"the first, {first.number:,}, for {first.reason}: {first.detail}"
            )


def counted(counts: Counter[str]) -> str:
    """Names with their numbers, the most frequent first."""
    parts = [f"{_name(name)} {number:,}" for name, number in counts.most_common(_MAX_SHOWN_NAMES)]
    more = f" and {len(counts) - _MAX_SHOWN_NAMES} more" if len(counts) > _MAX_SHOWN_NAMES else ""
    return ", ".join(parts) + more


def _name(name: str) -> str:
    return name if name.isascii() and name.isprintable() and len(name) <= 40 and name.strip() else shown(name)


def survey(
    rows: Iterable[FileRow],
    edit: EventEdit,
    *,
    behaviors: BehaviorSet,
    settings: EventSettings,
    now_s: float,
    told: Callable[[int], None] = lambda count: None,
) -> FileSurvey:
    """Judge all events of a file, in bounded memory.

    Args:
        edit: What would happen to them on their way.
        now_s: Instant that event times are judged against.
        told: Called with the number of rows of each portion that was checked.
    """
    found = FileSurvey()
    for portion in portions(rows, _ROWS):
        _judge(portion, edit, found, behaviors=behaviors, settings=settings, now_s=now_s)
        told(len(portion))
    return found


def _judge(
    portion: list[FileRow],
    edit: EventEdit,
    found: FileSurvey,
    *,
    behaviors: BehaviorSet,
    settings: EventSettings,
    now_s: float,
) -> None:
    edited = [edit.apply(row.key, row.value) for row in portion]
    for each in edited:
        if each.name:
            _count(found.names, each.name)
        if each.is_left_out:
            _count(found.left_out, each.name)
    sent = [(row.number, each) for row, each in zip(portion, edited, strict=True) if not each.is_left_out]
    raw = pa.table(
        [
            pa.array([each.key for _, each in sent], pa.binary()),
            pa.array([each.value for _, each in sent], pa.binary()),
            pa.repeat(pa.scalar(0, pa.int32()), len(sent)),
            pa.array([number for number, _ in sent], pa.int64()),
            pa.repeat(pa.scalar(now_s, pa.float64()), len(sent)),
        ],
        schema=RAW_SCHEMA,
    )
    decoded = decode_batch(raw, cluster_id="", topic_id="", behaviors=behaviors, settings=settings)
    found.num_events += len(sent)
    # The codec replaces an absent time by that of the arrival, and no other event has exactly this one.
    found.num_untimed += decoded.events["event_time_s"].to_pylist().count(now_s)
    reasons = decoded.rejected["reason"].to_pylist()
    found.refused.update(reasons)
    if len(found.samples) < MAX_SAMPLES:
        for row in decoded.rejected.slice(0, MAX_SAMPLES - len(found.samples)).to_pylist():
            found.samples.append(RefusedRow(number=row["offset"], reason=row["reason"], detail=row["detail"]))
    if Rejection.UNKNOWN_BEHAVIOR.value in reasons:
        for reason, value in zip(reasons, decoded.rejected["original_value"].to_pylist(), strict=True):
            if reason == Rejection.UNKNOWN_BEHAVIOR.value:
                _count(found.unknown, (document_of(value) or {})["behavior"])


def _count(counts: Counter[str], name: str) -> None:
    counts[name if name in counts or len(counts) < _MAX_NAMES else "(other names)"] += 1
