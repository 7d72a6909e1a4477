"""Releases as operators judge them: what serves, what its gates said, what moving the pointer would change."""

from dataclasses import dataclass
from typing import Any, Final

from mmrec.console.services import Services
from mmrec.console.shown_text import shown_text
from mmrec.errors import NotFoundError, PreconditionError
from mmrec.operating.instants import seconds_of
from mmrec.v1 import admin_pb2

NUM_SHOWN: Final = 50
"""The newest."""
MAIN_METRICS: Final = ("ndcg_at_10", "hr_at_10", "recall_at_100", "mrr")
"""Shown in the table; a release's own page has all."""


@dataclass(frozen=True, kw_only=True)
class ReleaseRow:
    """One release."""

    release_id: str
    create_s: float
    num_items: int
    embedding_dim: int
    encoders: tuple[tuple[str, str], ...]
    metrics: dict[str, float]
    state: str
    """"serves", "served before", "refused", "misses a gate", "cannot be read", or "kept"."""
    note: str
    """Why it is refused, misses a gate, or cannot be read."""

    @property
    def can_serve(self) -> bool:
        """Whether promoting it makes sense."""
        return self.state not in ("serves", "cannot be read")


@dataclass(frozen=True, kw_only=True)
class Releases:
    """The newest first."""

    rows: tuple[ReleaseRow, ...]
    num_releases: int
    current: str
    previous: str
    metric_names: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class MetricChange:
    """A metric of two releases; None where one has none."""

    name: str
    now: float | None
    then: float | None

    @property
    def difference(self) -> float | None:
        """`then` less `now`."""
        return None if self.now is None or self.then is None else self.then - self.now


@dataclass(frozen=True, kw_only=True)
class MovePreview:
    """What happens if another release is made to serve."""

    release: ReleaseRow
    current: str
    """The one that serves now; empty where none does."""
    changes: tuple[MetricChange, ...]
    num_items_change: int


def releases(services: Services) -> Releases:
    """All that are kept, NUM_SHOWN at most."""
    answer = services.desk.ask("ListReleases", admin_pb2.ListReleasesRequest())
    return releases_view(answer)


def releases_view(answer: admin_pb2.ListReleasesResponse) -> Releases:
    """The answer as it is shown."""
    rows = _rows(answer)
    there = {name for row in rows for name in row.metrics}
    return Releases(
        rows=tuple(reversed(rows))[:NUM_SHOWN],
        num_releases=len(rows),
        current=answer.current_release_id,
        previous=answer.previous_release_id,
        metric_names=tuple(name for name in MAIN_METRICS if name in there),
    )


def preview(services: Services, release_id: str) -> MovePreview:
    """What changes if a release is made to serve; NotFoundError where there is none of this name."""
    answer = services.desk.ask("ListReleases", admin_pb2.ListReleasesRequest())
    found = {row.release_id: row for row in _rows(answer)}
    if release_id not in found:
        raise NotFoundError(f"no release {release_id[:80]!r}; the page of models lists those that there are")
    then, now = found[release_id], found.get(answer.current_release_id)
    names = sorted({*then.metrics, *(now.metrics if now else ())})
    return MovePreview(
        release=then,
        current=answer.current_release_id,
        changes=tuple(
            MetricChange(name=n, now=now.metrics.get(n) if now else None, then=then.metrics.get(n)) for n in names
        ),
        num_items_change=then.num_items - (now.num_items if now else 0),
    )


def promote(services: Services, release_id: str, *, expected: str) -> str:
    """Make a release serve; what served before.

    Args:
        expected: The release that served when somebody decided; empty where none did.

    Raises:
        PreconditionError: another one serves by now.
        MmrecError: the administrative service's own errors.
    """
    answer = services.desk.ask("ListReleases", admin_pb2.ListReleasesRequest())
    if answer.current_release_id != expected:
        raise PreconditionError(
            f"{answer.current_release_id or 'no release'} serves by now, and not {expected or 'none'}; look again"
        )
    moved = services.desk.ask("PromoteRelease", admin_pb2.PromoteReleaseRequest(release_id=release_id))
    return str(moved.previous_release_id)


def roll_back(services: Services, *, expected: str) -> str:
    """Make the release before serve again; its id. PreconditionError where `expected` serves no more."""
    moved = services.desk.ask("RollBackRelease", admin_pb2.RollBackReleaseRequest(expected_release_id=expected))
    return str(moved.release.release_id)


def _rows(answer: admin_pb2.ListReleasesResponse) -> list[ReleaseRow]:
    current, previous = answer.current_release_id, answer.previous_release_id
    return [_row(record, current=current, previous=previous) for record in answer.releases]


def _row(record: Any, *, current: str, previous: str) -> ReleaseRow:
    states = (
        ("cannot be read", record.problem),
        ("serves", record.release_id == current),
        ("served before", record.release_id == previous),
        ("refused", record.refusal),
        ("misses a gate", record.missed_gates),
        ("kept", True),
    )
    return ReleaseRow(
        release_id=record.release_id,
        create_s=seconds_of(record.create_time),
        num_items=record.num_items,
        embedding_dim=record.embedding_dim,
        encoders=tuple(sorted(record.encoders.items())),
        metrics=dict(record.metrics),
        state=next(state for state, holds in states if holds),
        note=shown_text(record.problem or record.refusal or record.missed_gates, max_characters=400),
    )
