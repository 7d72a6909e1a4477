"""Administrative acts: who did what to a deployment, when, to what, and how it ended.

    with log.recorded(ActKind.PROMOTE_RELEASE, caller, subject=release_id) as act:
        act.details["before"] = ...                     two records: one before the work, one after it
    found = read_acts(topics.read(topic), ActFilter(kind="rebuild"))

An act that cannot be recorded is not done. The topic is never compacted, and nobody may remove records from it, so what
was recorded stays until its time is over. Users are named by keyed hashes: a record outlives those who ask to be
forgotten.
"""

import json
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Final

from google.protobuf import json_format

from mmrec.clock import Clock
from mmrec.errors import StoreError
from mmrec.events.producer import RecordProducer, TopicRecord
from mmrec.operating.configuration import without_secrets
from mmrec.operating.instants import seconds_of, stamp
from mmrec.telemetry.logs import get_logger
from mmrec.v1.admin_pb2 import ActOutcome, AdministrativeAct, IdentifiedBy

log = get_logger(__name__)
MAX_PROBLEM: Final = 2_000
"""Characters kept of why an act failed."""
MAX_READ: Final = 1_000
"""Acts that one reading returns at most."""
ANSWER_S: Final = 30.0
"""How long the broker has to take a record."""


class ActKind(Enum):
    """What can be done to a deployment."""

    PROMOTE_RELEASE = "promote_release"
    ROLL_BACK_RELEASE = "roll_back_release"
    PUBLISH_RELEASE = "publish_release"
    RESUBMIT_REJECTED = "resubmit_rejected"
    CHANGE_ITEM = "change_item"
    REBUILD = "rebuild"
    BACK_UP = "back_up"
    RESTORE = "restore"
    FORGET_USER = "forget_user"
    GET_PROFILE = "get_profile"
    EXPORT_USER = "export_user"
    CHANGE_CONFIGURATION = "change_configuration"


_OF_USERS: Final = frozenset({ActKind.FORGET_USER, ActKind.GET_PROFILE, ActKind.EXPORT_USER})
"""What goes wrong with these may be said with the user's id, which is not kept."""


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Who does something, and how that is known."""

    who: str
    identified_by: IdentifiedBy


LOCAL: Final = "local"
"""Whoever uses the deployment's own machine."""
COMMAND_LINE: Final = Caller(who=LOCAL, identified_by=IdentifiedBy.IDENTIFIED_BY_COMMAND_LINE)


class ActLog:
    """Writes the acts of one program."""

    def __init__(
        self,
        open_producer: Callable[[], RecordProducer],
        *,
        topic: str,
        clock: Clock,
        told: Callable[[str, str], None] = lambda kind, outcome: None,
        must_record: bool = True,
    ) -> None:
        """Nothing is opened yet.

        Args:
            open_producer: Called at the first act, and again where that failed.
            told: Handed kind and outcome ("done", "failed") of each act that ended.
            must_record: Whether an act that cannot be recorded is refused; else it is done and a warning logged, as for
                the command line, which works on a deployment whose broker is down.
        """
        self._open, self._topic, self._clock = open_producer, topic, clock
        self._told, self._must_record = told, must_record
        self._producer: RecordProducer | None = None

    @contextmanager
    def recorded(
        self,
        kind: ActKind,
        caller: Caller,
        *,
        subject: str = "",
        details: Mapping[str, str] | None = None,
    ) -> Iterator[AdministrativeAct]:
        """A block that is an act; what the block adds to the act's details is in the second record.

        Raises:
            StoreError: the act cannot be recorded; nothing was done.
        """
        act = AdministrativeAct(
            act_id=uuid.uuid4().hex,
            kind=kind.value,
            who=caller.who,
            identified_by=caller.identified_by,
            begin_time=stamp(self._clock.now_s()),
            subject=subject,
            details=details,
            outcome=ActOutcome.ACT_OUTCOME_BEGUN,
        )
        self._begin(act)
        try:
            yield act
        except BaseException as error:
            text = type(error).__name__ if kind in _OF_USERS else f"{type(error).__name__}: {error}"
            act.problem = without_secrets(text)[:MAX_PROBLEM]
            self._end(act, ActOutcome.ACT_OUTCOME_FAILED)
            raise
        self._end(act, ActOutcome.ACT_OUTCOME_DONE)

    def close(self) -> None:
        """Disconnect from the broker."""
        if self._producer is not None:
            self._producer.close()

    def _begin(self, act: AdministrativeAct) -> None:
        try:
            self._write(act)
        except StoreError as error:
            if self._must_record:
                raise StoreError(f"{act.kind} was not done, because it cannot be recorded: {error}") from None
            log.warning("act_not_recorded", kind=act.kind, subject=act.subject, error=str(error))

    def _end(self, act: AdministrativeAct, outcome: ActOutcome) -> None:
        act.outcome = outcome
        if (now := stamp(self._clock.now_s())) is not None:
            act.end_time.CopyFrom(now)
        self._told(act.kind, ActOutcome.Name(outcome).removeprefix("ACT_OUTCOME_").lower())
        try:
            self._write(act)
        except StoreError as error:  # it is done; its first record says that it began
            log.error("end_of_act_not_recorded", kind=act.kind, act_id=act.act_id, error=str(error))

    def _write(self, act: AdministrativeAct) -> None:
        self._producer = self._producer or self._open()
        sent = self._producer.send(self._topic, *encode_act(act))
        try:
            sent.result(timeout=ANSWER_S)
        except TimeoutError:
            raise StoreError(f"the broker did not take a record of {self._topic} within {ANSWER_S:g} s") from None


def encode_act(act: AdministrativeAct) -> tuple[bytes, bytes]:
    """Key and value of an act's record: its id, and proto3 JSON in snake_case."""
    document = json_format.MessageToDict(act, preserving_proto_field_name=True)
    return act.act_id.encode(), json.dumps(document, ensure_ascii=False, sort_keys=True).encode()


def decode_act(value: bytes | None) -> AdministrativeAct | None:
    """The act of a record; None where somebody else wrote it."""
    try:
        act = json_format.Parse((value or b"").decode("utf-8"), AdministrativeAct(), ignore_unknown_fields=True)
    except (json_format.ParseError, UnicodeDecodeError, RecursionError):
        return None
    return act if act.act_id else None


@dataclass(frozen=True, kw_only=True)
class ActFilter:
    """Which acts are wanted; empty or 0 for any."""

    kind: str = ""
    who: str = ""
    since_s: float = 0.0
    """Only what began then or later."""
    num_acts: int = 50
    """The newest so many."""


@dataclass(frozen=True, kw_only=True)
class FoundActs:
    """What a reading found."""

    acts: list[AdministrativeAct]
    """Newest first, each as its last record says."""
    num_unreadable: int
    """Records that hold no act."""


def read_acts(records: Iterable[TopicRecord], wanted: ActFilter) -> FoundActs:
    """Acts from the records of their topic, those of each partition in order."""
    acts: dict[str, AdministrativeAct] = {}
    num_unreadable = 0
    for record in records:
        act = decode_act(record.value)
        if act is None:
            num_unreadable += 1
        elif act.act_id not in acts or act.outcome != ActOutcome.ACT_OUTCOME_BEGUN:
            acts[act.act_id] = act
    found = [
        act
        for act in acts.values()
        if wanted.kind in ("", act.kind)
        and wanted.who in ("", act.who)
        and seconds_of(act.begin_time) >= wanted.since_s
    ]
    found.sort(key=lambda act: seconds_of(act.begin_time), reverse=True)
    return FoundActs(acts=found[: min(wanted.num_acts, MAX_READ)], num_unreadable=num_unreadable)
