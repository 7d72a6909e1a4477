"""Redis refuses, resets, swallows, delays or half-opens: a call is one bounded try, and lists come degraded in time."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import RedisError

from feature_repo.apply import apply_repository
from mmrec.clock import ManualClock
from mmrec.collecting.overlay import OverlayEntry
from mmrec.config import Settings, StoreSettings
from mmrec.disk.objects import FolderObjects
from mmrec.errors import StoreError
from mmrec.features.schema import USER_PROFILE
from mmrec.index.vectors import MemoryVectorStore
from mmrec.publishing.release import ReleaseStore
from mmrec.scoring.apply import apply
from mmrec.scoring.batch import session_batch
from mmrec.scoring.source import Source
from mmrec.serving.profile_reads import OVERLAY_WAIT_S, STORE_WAIT_S
from mmrec.serving.recommend import Deadline
from mmrec.serving.replica import Replica, ReplicaParts
from mmrec.stores.feast.repository import open_repository
from mmrec.stores.redis.access import Patience, overlay_access
from mmrec.stores.redis.layout import redis_layout
from mmrec.stores.redis.overlay import RedisOverlay
from mmrec.stores.redis.profile_rows import RedisProfileRows
from mmrec.v1.recommender_pb2 import RecommendItemsRequest
from mmrec.wiring import open_feature_store, open_overlay
from tests.tcp_proxy import Manner, TcpProxy

pytestmark = pytest.mark.integration
NOW_S = 1_760_000_000.0
WAIT_S, DELAY_S = 1.0, 3.0
"""How long the clients here wait, and how late the proxy lets answers come."""
FAILING = [Manner.REFUSE, Manner.RESET, Manner.SWALLOW, Manner.DELAY, Manner.HALF_OPEN]
CART = OverlayEntry("ann", Source("c", "t", 0), 7, "cart", "fresh", "e7", NOW_S, NOW_S, NOW_S)


@pytest.fixture
def proxy(redis_server: str) -> Iterator[TcpProxy]:
    with Redis.from_url(f"redis://{redis_server}") as client:
        client.flushdb()
    with TcpProxy(int(redis_server.rpartition(":")[2]), delay_s=DELAY_S) as made:
        yield made


@pytest.fixture
def settings(proxy: TcpProxy, tmp_path: Path) -> Settings:
    stores = StoreSettings(
        feature_repo=str(tmp_path / "repo"),
        online_store="redis",
        redis_connection=proxy.address,
        status=str(tmp_path / "status"),
        releases=str(tmp_path / "releases"),
    )
    return Settings(stores=stores)


def profiles(settings: Settings) -> dict[str, Any]:
    behaviors = settings.behaviors
    batch = session_batch(
        user_key="ann",
        item_ids=["stored"],
        behavior_ids=[int(behaviors.ids_B[0])],
        event_times_s=[NOW_S],
        event_ids=["e1"],
        ingest_time_s=NOW_S,
    )
    return apply({}, batch, config=settings.scoring).profiles


@pytest.mark.parametrize("manner", FAILING)
@pytest.mark.parametrize("stands", [True, False])
def test_a_read_of_the_overlay_is_one_try(manner: Manner, stands: bool, proxy: TcpProxy, settings: Settings) -> None:
    overlay = RedisOverlay(overlay_access(settings.stores), timeout_s=WAIT_S)
    if stands:  # a connection that was good
        overlay.add([CART])
    before = proxy.num_accepted
    proxy.manner = manner
    with pytest.raises(StoreError, match="overlay on Redis failed reading"):
        overlay.read(["ann"])
    assert proxy.num_accepted - before <= 1
    proxy.manner = Manner.PASS
    proxy.cut()
    overlay.add([CART])
    assert overlay.read(["ann"]) == {"ann": [CART]}
    overlay.close()


@pytest.mark.parametrize("manner", [Manner.RESET, Manner.SWALLOW])
def test_rows_of_profiles_are_tried_as_often_as_they_are_told(
    manner: Manner, proxy: TcpProxy, settings: Settings
) -> None:
    apply_repository(settings.stores, settings.scoring.decay_per_day)
    layout = redis_layout(open_repository(settings.stores.feature_repo, stores=settings.stores), USER_PROFILE)
    for num_retries in (0, 2):
        rows = RedisProfileRows(layout, patience=Patience(wait_s=WAIT_S, num_retries=num_retries))
        proxy.manner = manner
        before = proxy.num_accepted
        with pytest.raises(RedisError):
            list(rows.read(["ann"], "packed"))
        assert proxy.num_accepted - before == 1 + num_retries
        rows.close()
        proxy.manner = Manner.PASS


@pytest.mark.parametrize("manner", [Manner.RESET, Manner.SWALLOW])
def test_item_views_that_feast_reads_are_tried_once_where_a_request_waits(
    manner: Manner, proxy: TcpProxy, settings: Settings
) -> None:
    apply_repository(settings.stores, settings.scoring.decay_per_day)
    store = open_feature_store(settings, wait_s=WAIT_S)
    proxy.manner = manner
    before = proxy.num_accepted
    with pytest.raises(StoreError, match="failed reading 1 rows of item_neighbors"):
        store.read_neighbors(["i1"])
    assert proxy.num_accepted - before == 1


@pytest.fixture
def applied(settings: Settings) -> Settings:
    """The settings of a deployment that has one profile and one event in the overlay."""
    apply_repository(settings.stores, settings.scoring.decay_per_day)
    open_feature_store(settings).write_profiles(profiles(settings), write_time_s=NOW_S)
    open_overlay(settings, wait_s=10.0).add([CART])
    return settings


def replica_of(settings: Settings) -> Replica:
    """A replica without a release, whose thread is not started: requests alone talk to Redis."""
    return Replica(
        ReplicaParts(
            settings=settings,
            open_features=lambda: open_feature_store(settings, wait_s=STORE_WAIT_S),
            open_overlay=lambda: open_overlay(settings, wait_s=OVERLAY_WAIT_S),
            open_vectors=MemoryVectorStore,
            releases=ReleaseStore(FolderObjects(Path(settings.stores.releases))),
            follow=lambda start, stop: iter(()),
            topic_name=lambda: "c/t",
            clock=ManualClock(NOW_S + 60),
        )
    )


@pytest.fixture
def replica(proxy: TcpProxy, applied: Settings) -> Iterator[Replica]:
    made = replica_of(applied)
    yield made
    proxy.manner = Manner.PASS
    made.reads.close()


def asked(replica: Replica, *, seconds: float = 5.0) -> tuple[list[str], float]:
    """What a list lacks, and what was left of its time."""
    deadline = Deadline(at_s=time.monotonic() + seconds, clock=time.monotonic)
    answer = replica.recommend(RecommendItemsRequest(user_id="ann", num_items=5), deadline=deadline)
    return list(answer.state.degraded_reasons), deadline.left_s()


def is_whole(replica: Replica) -> bool:
    """Whether a list lacks nothing of a user, and the profile has what is stored and what is fresh."""
    if any(word.endswith("_unavailable") for word in asked(replica)[0]):
        return False
    try:
        profile = replica.read_profile("ann").profile
    except StoreError:
        return False
    return profile is not None and set(profile.item_ids) == {"stored", "fresh"}


def wait_for(condition: Callable[[], bool]) -> None:
    waiting = threading.Event()
    for _ in range(600):
        if condition():
            return
        waiting.wait(0.05)
    raise AssertionError("it did not come about")


@pytest.mark.parametrize("manner", FAILING)
def test_a_list_is_degraded_within_its_deadline_and_whole_again_when_redis_is_back(
    manner: Manner, proxy: TcpProxy, replica: Replica
) -> None:
    wait_for(lambda: is_whole(replica))

    proxy.manner = manner
    lacking, left_s = asked(replica)
    assert "profile_unavailable" in lacking or "overlay_unavailable" in lacking
    assert left_s > 0
    wait_for(lambda: "profile_unavailable" in asked(replica)[0])
    before = replica.reads.figures()["num_reads_given_up"]
    for _ in range(50):
        lacking, left_s = asked(replica)
        assert "profile_unavailable" in lacking
        assert left_s > 0
    assert replica.reads.figures()["num_reads_given_up"] == before  # nobody waits for what is away

    proxy.manner = Manner.PASS
    proxy.cut()
    wait_for(lambda: is_whole(replica))


def test_a_replica_that_starts_while_redis_is_away_answers_and_reads_profiles_when_it_is_back(
    proxy: TcpProxy, applied: Settings
) -> None:
    proxy.manner = Manner.REFUSE
    replica = replica_of(applied)
    lacking, left_s = asked(replica)
    assert "profile_unavailable" in lacking
    assert left_s > 0
    proxy.manner = Manner.PASS
    wait_for(lambda: is_whole(replica))
    replica.reads.close()


def test_an_overlay_of_its_own_that_is_away_costs_no_profile(redis_server: str, applied: Settings) -> None:
    with TcpProxy(int(redis_server.rpartition(":")[2])) as way:
        stores = replace(applied.stores, overlay_connection=way.address)
        replica = replica_of(replace(applied, stores=stores))
        way.manner = Manner.SWALLOW
        wait_for(lambda: "overlay_unavailable" in asked(replica)[0])
        before = way.num_accepted
        for _ in range(100):
            asked(replica)
        assert way.num_accepted - before < 50  # requests pass it by; only the thread asks now and then

        def stored() -> bool:
            if "profile_unavailable" in asked(replica)[0]:
                return False
            profile = replica.read_profile("ann").profile
            return profile is not None and profile.item_ids == ("stored",)

        wait_for(stored)
        replica.reads.close()
