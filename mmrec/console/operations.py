"""How everything stands, for operators: programs, figures with their age, engines, and the configuration in force."""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from mmrec.console.amounts import duration, number
from mmrec.console.services import Services
from mmrec.console.shown_text import shown_text
from mmrec.operating.instants import seconds_of
from mmrec.v1 import admin_pb2

KEPT_S: Final = 1.5
"""A look at the whole deployment is shared by all who watch it so long."""
NUM_ACTS: Final = 20
_OUTCOMES: Final[Mapping[int, str]] = {
    number: name.removeprefix("ACT_OUTCOME_").lower() for name, number in admin_pb2.ActOutcome.items()
}
_ORIGINS: Final[Mapping[int, str]] = {
    admin_pb2.VALUE_ORIGIN_DEFAULT: "default",
    admin_pb2.VALUE_ORIGIN_FILE: "file",
    admin_pb2.VALUE_ORIGIN_ENVIRONMENT: "environment",
}


@dataclass(frozen=True, kw_only=True)
class ProgramRow:
    """A program of the embedded stack."""

    name: str
    state: str
    restarts: int
    since_s: float

    @property
    def is_well(self) -> bool:
        """Whether it does what it should."""
        return self.state in ("ready", "done")


@dataclass(frozen=True, kw_only=True)
class Standing:
    """One look at the deployment."""

    as_of_s: float
    programs: tuple[ProgramRow, ...]
    figures: tuple[tuple[str, str], ...]
    """Name and value in words, such as ("events accepted", "12,034")."""
    stale: tuple[str, ...]
    """Programs whose figures are older than they should be."""


@dataclass(frozen=True, kw_only=True)
class EngineRow:
    """An engine, or a service, and how it answered."""

    name: str
    address: str
    is_well: bool
    detail: str
    answer: str


@dataclass(frozen=True, kw_only=True)
class SettingRow:
    """A value of the configuration; secrets are hidden before they come here."""

    name: str
    value: str
    origin: str
    place: str


@dataclass(frozen=True, kw_only=True)
class ActRow:
    """Who did what, and how it ended."""

    begin_s: float
    who: str
    kind: str
    subject: str
    outcome: str
    problem: str


class Watch:
    """The standing, looked at once for all who ask within KEPT_S."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._lock = threading.Lock()
        self._kept: Standing | None = None
        self._looked_s = 0.0

    def standing(self) -> Standing:
        """StoreError where the administrative service does not answer."""
        with self._lock:
            if self._kept is None or time.monotonic() - self._looked_s > KEPT_S:
                answer = self._services.desk.ask("GetStanding", admin_pb2.GetStandingRequest())
                self._kept, self._looked_s = standing_view(answer), time.monotonic()
            return self._kept


def standing_view(answer: admin_pb2.GetStandingResponse) -> Standing:
    """The answer as it is shown."""
    figures = [(f"events {verdict}", number(count)) for verdict, count in sorted(answer.events.items())]
    figures += [(f"refused: {reason}", number(count)) for reason, count in sorted(answer.rejected.items())]
    figures += [(figure.name, _in_words(figure)) for figure in answer.figures]
    return Standing(
        as_of_s=seconds_of(answer.as_of_time),
        programs=tuple(
            ProgramRow(name=p.name, state=p.state, restarts=p.restarts, since_s=seconds_of(p.since_time))
            for p in answer.programs
        ),
        figures=tuple(figures),
        stale=tuple(answer.stale),
    )


def engines(services: Services) -> tuple[EngineRow, ...]:
    """All engines, those that are not well first."""
    answer = services.desk.ask("CheckEngines", admin_pb2.CheckEnginesRequest())
    rows = [
        EngineRow(
            name=engine.name,
            address=shown_text(engine.address),
            is_well=engine.is_well,
            detail=shown_text(engine.detail, max_characters=400),
            answer=duration(engine.answer_s),
        )
        for engine in answer.engines
    ]
    return tuple(sorted(rows, key=lambda row: (row.is_well, row.name)))


def settings_in_force(services: Services, *, changed_only: bool) -> tuple[str, tuple[SettingRow, ...]]:
    """The file of the configuration and its values, or those alone that are no defaults."""
    answer = services.desk.ask("GetConfiguration", admin_pb2.GetConfigurationRequest())
    rows = [
        SettingRow(
            name=value.name,
            value=shown_text(value.value, max_characters=300),
            origin=_ORIGINS.get(value.origin, "unknown"),
            place=shown_text(value.place),
        )
        for value in answer.values
        if not changed_only or value.origin != admin_pb2.VALUE_ORIGIN_DEFAULT
    ]
    return shown_text(answer.file), tuple(rows)


def acts(services: Services) -> tuple[ActRow, ...]:
    """Who did what, the newest NUM_ACTS acts."""
    answer = services.desk.ask("ListActs", admin_pb2.ListActsRequest(num_acts=NUM_ACTS))
    return tuple(
        ActRow(
            begin_s=seconds_of(act.begin_time),
            who=shown_text(act.who),
            kind=act.kind.replace("_", " "),
            subject=shown_text(act.subject),
            outcome=_OUTCOMES.get(act.outcome, "unknown"),
            problem=shown_text(act.problem, max_characters=300),
        )
        for act in answer.acts
    )


def _in_words(figure: Any) -> str:
    kind = figure.WhichOneof("value")
    if kind == "text":
        return shown_text(figure.text)
    if kind == "flag":
        return "yes" if figure.flag else "no"
    value = float(figure.number if kind == "number" else figure.whole)
    return duration(value) if figure.name.endswith("_s") else number(value)
