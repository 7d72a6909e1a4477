"""Administrative acts: recorded before they are done, once more when they end, and never with a user's id."""

import json
from pathlib import Path

import pytest

from mmrec.clock import ManualClock
from mmrec.config import AdminSettings, KafkaSettings, Settings
from mmrec.errors import InvalidRequestError, StoreError
from mmrec.events.producer import MemoryRecordProducer, TopicRecord
from mmrec.operating.acts import (
    COMMAND_LINE,
    ActFilter,
    ActKind,
    ActLog,
    Caller,
    decode_act,
    encode_act,
    read_acts,
)
from mmrec.operating.callers import caller_of
from mmrec.operating.workplace import recorded_here
from mmrec.stores.kafka.admin import topic_configs
from mmrec.v1.admin_pb2 import ActOutcome, AdministrativeAct, IdentifiedBy
from services.stack.ports import any_free

TOPIC = "administrative-acts"
ANN = Caller(who="ann", identified_by=IdentifiedBy.IDENTIFIED_BY_EDGE)


class Book:
    """A log of acts on a broker in memory."""

    def __init__(self, *, must_record: bool = True) -> None:
        self.clock = ManualClock(1_000.0)
        self.broker = MemoryRecordProducer(clock=self.clock)
        self.told: list[tuple[str, str]] = []
        self.log = ActLog(
            lambda: self.broker,
            topic=TOPIC,
            clock=self.clock,
            told=lambda kind, outcome: self.told.append((kind, outcome)),
            must_record=must_record,
        )

    def acts(self, **wanted: object) -> list[AdministrativeAct]:
        return read_acts(self.broker.records(TOPIC), ActFilter(**wanted)).acts  # type: ignore[arg-type]


def test_an_act_is_on_the_topic_before_it_is_done_and_again_when_it_has_ended() -> None:
    book = Book()
    with book.log.recorded(ActKind.PROMOTE_RELEASE, ANN, subject="r2", details={"served_before": "r1"}) as act:
        (begun,) = book.acts()
        assert (begun.outcome, begun.who, begun.subject) == (ActOutcome.ACT_OUTCOME_BEGUN, "ann", "r2")
        book.clock.advance(2.5)
        act.details["num_items"] = "7"
    assert len(book.broker.records(TOPIC)) == 2
    (done,) = book.acts()
    assert done.outcome == ActOutcome.ACT_OUTCOME_DONE
    assert dict(done.details) == {"served_before": "r1", "num_items": "7"}
    assert done.end_time.ToMilliseconds() - done.begin_time.ToMilliseconds() == 2_500
    assert book.told == [("promote_release", "done")]


def test_an_act_that_fails_is_recorded_with_its_reason_and_the_error_goes_on() -> None:
    book = Book()
    with pytest.raises(InvalidRequestError), book.log.recorded(ActKind.BACK_UP, ANN, subject="monday"):
        raise InvalidRequestError("the folder is not empty")
    (failed,) = book.acts()
    assert failed.outcome == ActOutcome.ACT_OUTCOME_FAILED
    assert failed.problem == "InvalidRequestError: the folder is not empty"
    assert book.told == [("back_up", "failed")]


def test_the_reason_of_a_failure_is_recorded_without_secrets() -> None:
    book = Book()
    with pytest.raises(StoreError), book.log.recorded(ActKind.BACK_UP, ANN):
        raise StoreError("Redis(password='hunter2') does not answer")
    (failed,) = book.acts()
    assert failed.problem == "StoreError: Redis(password='***') does not answer"


def test_what_cannot_be_recorded_is_not_done() -> None:
    book, done = Book(), []
    book.broker.available = False
    with (
        pytest.raises(StoreError, match="rebuild was not done, because it cannot be recorded"),
        book.log.recorded(ActKind.REBUILD, ANN),
    ):
        done.append(1)
    assert done == []


def test_the_command_line_works_on_a_deployment_whose_broker_is_away() -> None:
    book, done = Book(must_record=False), []
    book.broker.available = False
    with book.log.recorded(ActKind.REBUILD, COMMAND_LINE):
        done.append(1)
    assert done == [1]
    told: list[str] = []
    away = Settings(kafka=KafkaSettings(bootstrap=f"127.0.0.1:{any_free(1)[0]}"))
    with recorded_here(away, ActKind.REBUILD, told=told.append):
        done.append(2)
    assert done == [1, 2]
    assert told == [f"not among the acts: no broker answers at {away.kafka.bootstrap}"]


@pytest.mark.parametrize("kind", [ActKind.FORGET_USER, ActKind.GET_PROFILE, ActKind.EXPORT_USER])
def test_a_failure_about_a_user_is_recorded_without_what_it_says_of_the_user(kind: ActKind) -> None:
    book = Book()
    with pytest.raises(InvalidRequestError), book.log.recorded(kind, ANN, subject="4f2a"):
        raise InvalidRequestError("user 'secret-ann' is refused")
    assert b"secret-ann" not in b"".join(record.value or b"" for record in book.broker.records(TOPIC))
    assert book.acts()[0].problem == "InvalidRequestError"


def test_acts_are_found_by_kind_person_and_time_the_newest_first() -> None:
    book = Book()
    for kind, caller in ((ActKind.REBUILD, ANN), (ActKind.BACK_UP, COMMAND_LINE), (ActKind.REBUILD, COMMAND_LINE)):
        with book.log.recorded(kind, caller):
            book.clock.advance(10.0)
    assert [act.kind for act in book.acts()] == ["rebuild", "back_up", "rebuild"]
    assert [act.who for act in book.acts(kind="rebuild")] == ["local", "ann"]
    assert [act.kind for act in book.acts(who="ann")] == ["rebuild"]
    assert [act.kind for act in book.acts(since_s=1_010.0)] == ["rebuild", "back_up"]
    assert [act.who for act in book.acts(num_acts=1)] == ["local"]


def test_the_end_of_an_act_is_found_in_whatever_order_its_records_are_read() -> None:
    book = Book()
    with book.log.recorded(ActKind.REBUILD, ANN):
        pass
    backwards = list(reversed(book.broker.records(TOPIC)))
    assert read_acts(backwards, ActFilter()).acts[0].outcome == ActOutcome.ACT_OUTCOME_DONE


@pytest.mark.parametrize("value", [None, b"", b"\xff", b"{}", b"[1]", b'{"act_id": 3}', b"{" * 5_000])
def test_a_record_that_is_no_act_is_counted_and_ends_nothing(value: bytes | None) -> None:
    assert decode_act(value) is None
    found = read_acts([TopicRecord(b"k", value, 0, 0, 1.0)], ActFilter())
    assert (found.acts, found.num_unreadable) == ([], 1)


def test_an_act_is_read_as_it_was_written() -> None:
    act = AdministrativeAct(act_id="a", kind="rebuild", who="änn", subject="x\u202ey", details={"k": "v"})
    key, value = encode_act(act)
    assert key == b"a"
    assert json.loads(value)["who"] == "änn"
    assert decode_act(value) == act


def test_acts_are_kept_for_their_time_and_never_compacted() -> None:
    configs = topic_configs(KafkaSettings(acts_retention_days=365.0))[TOPIC]
    assert configs["cleanup.policy"] == "delete"
    assert configs["retention.ms"] == str(365 * 86_400_000)


PROPERTIES = {"x509_common_name": [b"edge"], "x509_subject_alternative_name": [b"edge.mmrec", b"edge"]}


HERE, ELSEWHERE = "ipv4:127.0.0.1:4711", "ipv6:%5B2001:db8::1%5D:4711"


@pytest.mark.parametrize("peer", [HERE, "ipv6:%5B::1%5D:4711", "unix:/run/x"])
def test_an_unencrypted_caller_of_this_machine_is_local_whatever_it_says_of_itself(peer: str) -> None:
    assert caller_of({}, {"x-client": "root"}, AdminSettings(), peer=peer) == Caller(
        who="local", identified_by=IdentifiedBy.IDENTIFIED_BY_LOOPBACK
    )
    other = caller_of({}, {"x-client": "root"}, AdminSettings(), peer=ELSEWHERE)
    assert other == Caller(who="unknown", identified_by=IdentifiedBy.IDENTIFIED_BY_UNSPECIFIED)


def test_a_certificate_names_its_caller_and_only_an_edge_is_believed_about_others() -> None:
    said = {"x-client": "ann"}
    mine = caller_of(PROPERTIES, said, AdminSettings(), peer=ELSEWHERE)
    assert mine == Caller(who="edge.mmrec", identified_by=IdentifiedBy.IDENTIFIED_BY_CERTIFICATE)
    assert caller_of(PROPERTIES, said, AdminSettings(edges=("edge",)), peer=ELSEWHERE) == ANN
    assert caller_of(PROPERTIES, {}, AdminSettings(edges=("edge",)), peer=ELSEWHERE) is None


def test_who_is_not_among_the_callers_may_not_call() -> None:
    assert caller_of(PROPERTIES, {}, AdminSettings(callers=("toolbox",)), peer=HERE) is None
    assert caller_of({}, {}, AdminSettings(callers=("toolbox",)), peer=HERE) is None
    listed = caller_of(PROPERTIES, {}, AdminSettings(callers=("edge",)), peer=HERE)
    assert listed is not None and listed.who == "edge"


def test_a_home_without_a_configuration_has_a_folder_of_backups_below_it(tmp_path: Path) -> None:
    from mmrec.config import parse_settings

    assert parse_settings({}, where="here", folder=tmp_path).admin.backups == str(tmp_path / "backups")
