"""What the administrative API says of a user and of the whole, without a wire: the same facts as the stores have."""

from dataclasses import replace
from pathlib import Path

import pytest

from mmrec.clock import ManualClock
from mmrec.collecting.overlay import MemoryOverlay, OverlayEntry
from mmrec.config import Settings, StoreSettings
from mmrec.errors import NotFoundError, PreconditionError
from mmrec.events.producer import MemoryRecordProducer
from mmrec.features.stores import MemoryFeatureStore
from mmrec.operating.acts import COMMAND_LINE, ActFilter, ActLog, read_acts
from mmrec.operating.desk import ANSWERS, LONG_ANSWERS, Desk
from mmrec.operating.observed import Lag
from mmrec.operating.running import ProgramState
from mmrec.operating.standing import Standing
from mmrec.operating.standing_message import standing_message, standing_of
from mmrec.operating.workplace import Workplace
from mmrec.scoring.apply import apply
from mmrec.scoring.batch import session_batch
from mmrec.scoring.source import Source
from mmrec.v1 import admin_pb2

NOW_S = 1_767_225_600.0
TOPIC = "administrative-acts"


@pytest.fixture
def broker() -> MemoryRecordProducer:
    return MemoryRecordProducer(clock=ManualClock(NOW_S))


@pytest.fixture
def desk(broker: MemoryRecordProducer, tmp_path: Path) -> Desk:
    stores = replace(
        StoreSettings(),
        **{name: str(tmp_path / name) for name in ("event_log", "feature_repo", "content", "releases", "status")},
    )
    settings = replace(Settings(), stores=stores)
    clock = ManualClock(NOW_S)
    at = Workplace(
        settings=settings,
        acts=ActLog(lambda: broker, topic=TOPIC, clock=clock),
        clock=clock,
        _features=_store(settings),
        _overlay=MemoryOverlay(),
        _producer=broker,
    )
    return Desk(at)


def _store(settings: Settings) -> MemoryFeatureStore:
    """One user: a browse and a cart of i1, a day apart, and a browse of i2 now."""
    behaviors = settings.behaviors
    events = [("i1", "browse", 86_400.0), ("i1", "cart", 43_200.0), ("i2", "browse", 0.0)]
    batch = session_batch(
        user_key="ann",
        item_ids=[item for item, _, _ in events],
        behavior_ids=[int(behaviors.ids_B[behaviors.index(name)]) for _, name, _ in events],
        event_times_s=[NOW_S - age_s for _, _, age_s in events],
        event_ids=["e0", "e1", "e2"],
        ingest_time_s=NOW_S,
    )
    store = MemoryFeatureStore()
    store.write_profiles(apply({}, batch, config=settings.scoring).profiles, write_time_s=NOW_S)
    return store


def test_every_method_of_the_service_has_an_answer_of_its_kind() -> None:
    methods = admin_pb2.DESCRIPTOR.services_by_name["AdminService"].methods
    assert {m.name for m in methods if not m.server_streaming} == set(ANSWERS)
    assert {m.name for m in methods if m.server_streaming} == set(LONG_ANSWERS)


def test_a_profile_is_the_users_row_with_what_is_still_on_its_way(desk: Desk, broker: MemoryRecordProducer) -> None:
    source = Source(cluster_id="c", topic_id="t", partition=0)
    entry = OverlayEntry("ann", source, 7, "purchase", "i9", "e9", NOW_S, NOW_S, NOW_S)
    desk.at.overlay().add([entry])
    answer = desk.ask("GetProfile", admin_pb2.GetProfileRequest(user_key="ann"), COMMAND_LINE)
    assert [item.item_id for item in answer.items] == ["i1", "i2"]
    first, second = answer.items
    rate, weights = answer.decay_per_day, dict(answer.weights)
    assert second.affinity == pytest.approx(weights["browse"])
    expected = weights["browse"] * 2.718281828459045 ** (-rate) + weights["cart"] * 2.718281828459045 ** (-rate / 2)
    assert first.affinity == pytest.approx(expected)
    assert answer.newest_events[0].item_id == "i2"
    assert [(event.item_id, event.behavior) for event in answer.overlay] == [("i9", "purchase")]
    (act,) = read_acts(broker.records(TOPIC), ActFilter()).acts
    assert (act.kind, act.who) == ("get_profile", "local")
    assert b"ann" not in b"".join(record.value or b"" for record in broker.records(TOPIC))
    assert len(act.subject) == 32


def test_rows_are_bounded_and_a_stranger_is_not_found(desk: Desk) -> None:
    request = admin_pb2.GetProfileRequest(user_key="ann", num_rows=1)
    answer = desk.ask("GetProfile", request, COMMAND_LINE)
    assert (len(answer.items), len(answer.newest_events), answer.num_items) == (1, 1, 2)
    with pytest.raises(NotFoundError, match="nothing is known of user 'bob'"):
        desk.ask("GetProfile", admin_pb2.GetProfileRequest(user_key="bob"), COMMAND_LINE)


def test_where_nobody_follows_the_catalogue_that_is_said(desk: Desk) -> None:
    with pytest.raises(PreconditionError, match="nobody follows the catalogue here"):
        desk.ask("ListItems", admin_pb2.ListItemsRequest(), COMMAND_LINE)


def test_a_rollback_of_what_no_longer_serves_is_refused_before_anything_is_done(
    desk: Desk, broker: MemoryRecordProducer
) -> None:
    with pytest.raises(PreconditionError, match="no release serves, and not r1"):
        desk.ask("RollBackRelease", admin_pb2.RollBackReleaseRequest(expected_release_id="r1"), COMMAND_LINE)
    assert broker.records(TOPIC) == []


def test_a_standing_comes_back_from_its_message_as_it_was() -> None:
    standing = Standing(
        as_of_s=NOW_S,
        home="/srv/mmrec",
        pid=7,
        started_s=NOW_S - 60.0,
        programs=(ProgramState(name="kafka", state="ready", pid=8, restarts=1, since_s=NOW_S, port=19092),),
        events={"accepted": 3},
        rejected={"bad_id": 1},
        catalogue_rejected={},
        collector={"acknowledged": 4},
        figures={"stream_lag_s": 0.25, "serving_items": 12, "release_id": "r1", "serving_ready": True},
        rates={"events accepted": 1.5},
        stale=("tend_log",),
        lags=(Lag(topic="behavior-events", partition=1, num_records=4, lag_s=0.5),),
    )
    assert standing_of(standing_message(standing)) == standing
