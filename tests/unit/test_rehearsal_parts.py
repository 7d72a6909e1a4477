"""Parts of the rehearsal that need no engine: rights as the manifests give them, figures, and the table."""

from kafka.admin import ACLOperation, ACLResourcePatternType, ResourceType

from mmrec.config import KafkaSettings
from tests.benchmarks.chaos_stream_load import Way
from tests.benchmarks.chaos_stream_run import Compared
from tests.oracle import new_event
from tests.rehearsal.acts import ACTS, OF_LISTS, Performed
from tests.rehearsal.brokers import kafka_users, rights
from tests.rehearsal.lists import Answer
from tests.rehearsal.report import figures, samples, table
from tests.rehearsal.run import Outcome, Plan


def test_brokers_are_told_what_the_manifests_allow_and_no_more() -> None:
    told = {(acl.principal, acl.resource_pattern.resource_name, acl.operation) for acl in rights()}
    topic = KafkaSettings().behavior_events
    mine = {operation for principal, name, operation in told if (principal, name) == ("User:collector", topic)}
    assert mine == {ACLOperation.WRITE, ACLOperation.DESCRIBE}
    assert {principal for principal, _, _ in told} == {f"User:{name}" for name in kafka_users()}
    prefixed = [a for a in rights() if a.resource_pattern.pattern_type is ACLResourcePatternType.PREFIXED]
    assert {a.resource_pattern.resource_type for a in prefixed} == {ResourceType.GROUP}


def test_an_event_waits_from_when_it_was_put_until_it_is_acknowledged_however_often_it_is_sent() -> None:
    way, event = Way(), new_event("e1", "ann", "i1", "cart", 0.0)
    way.put(event)
    way.again(event)
    way.acknowledged(event, handed_s=1e12)
    ((_, wait_s),) = way.waits
    assert 0 <= wait_s < 1e9  # since it was put, and not since it was handed over last
    assert (way.num_open, way.num_sent_again) == (0, 1)


def outcome() -> Outcome:
    way = Way()
    way.waits += [(10.5, 0.25), (99.0, 9.0)]
    answers = [
        Answer(asked_s=10.5, seconds=0.5, tries=1, code="OK", num_items=20, release_id="r"),
        Answer(asked_s=10.6, seconds=0.5, tries=2, code="OK", num_items=0, lacking=("profile_unavailable",)),
        Answer(asked_s=99.0, seconds=0.1, tries=3, code="UNAVAILABLE"),
    ]
    acts = [
        Performed(act="broker", began_s=10.0, ended_s=20.0, recovery_s={"kafka": 0.5, "stream": None}, sent_again=4)
    ]
    return Outcome(
        acts=acts,
        ways={"kafka": way, "collector": Way()},
        answers=answers,
        acknowledged=1_000,
        found=Compared(lost=1, wrong_profiles=2),
        start_s=60.0,
        seconds=90.0,
        peak_gb=3.5,
    )


def test_figures_are_of_the_whole_and_of_each_act() -> None:
    found = figures(outcome(), Plan(acts=["broker"], events_per_s=100.0, act_s=1.0, lists_per_s=5.0))
    assert (found["acknowledged"], found["lost"], found["wrong_profiles"]) == (1_000, 1, 2)
    assert (found["requests"], found["failed_requests"], found["retried_requests"]) == (3, 1, 1)
    assert (found["empty_lists"], found["degraded_lists"]) == (1, 1)
    assert (found["broker.requests"], found["broker.failed_requests"]) == (2, 0)
    assert (found["broker.kafka_recovery_s"], found["broker.stream_recovery_s"]) == (0.5, None)
    assert found["broker.kafka_p99_ms"] == 250.0
    assert samples(outcome())["broker"]["kafka"] == [250.0] * 8
    assert samples(outcome())["broker"]["collector"] == []


def test_the_table_says_what_did_not_recover() -> None:
    lines = table(outcome())
    assert lines[1].split()[:3] == ["broker", "0.5", "never"]
    assert "lost 1, wrong profiles 2" in lines[-1]
    assert "failed requests 1" in lines[-1]


def test_acts_that_need_lists_are_acts() -> None:
    assert set(OF_LISTS) < set(ACTS)
