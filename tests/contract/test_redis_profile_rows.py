"""Profile rows in Redis below Feast: what Feast wrote is read, what is written Feast reads; and the writer's lease."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from redis import Redis

from feature_repo.apply import apply_repository
from mmrec.config import StoreSettings
from mmrec.errors import StoreError
from mmrec.features.schema import USER_PROFILE
from mmrec.scoring.behaviors import shop_behaviors
from mmrec.scoring.settings import ScoringConfig
from mmrec.stores.feast.insides import bytes_value, value_message
from mmrec.stores.feast.repository import open_repository
from mmrec.stores.redis.layout import redis_layout
from mmrec.stores.redis.profile_rows import PORTION, RedisLayout, RedisProfileRows
from mmrec.stores.redis.writer_lease import LEASE_KEY, LeaseLostError, StaleBatchError, take_lease
from services.stack.ports import HOST, any_free
from tests.redis_server import start_redis

pytestmark = pytest.mark.integration
NOW_S = 1_760_000_000.0
SCORING = ScoringConfig(behaviors=shop_behaviors())


@pytest.fixture
def client(redis_server: str) -> Iterator[Redis]:
    with Redis.from_url(f"redis://{redis_server}") as server:
        server.flushdb()
        yield server


@pytest.fixture
def repo(client: Redis, redis_server: str, tmp_path: Path) -> str:
    stores = StoreSettings(feature_repo=str(tmp_path), online_store="redis", redis_connection=redis_server)
    apply_repository(stores, SCORING.decay_per_day)
    return stores.feature_repo


@pytest.fixture
def layout(repo: str) -> RedisLayout:
    return redis_layout(open_repository(repo), USER_PROFILE)


def rows_of(*keys: str, text: str = "{}") -> dict[str, dict[str, bytes | str]]:
    return {key: {"packed": key.encode() * 50, "clear": text} for key in keys}


@pytest.mark.parametrize("value", [b"", b"x" * 127, b"x" * 128, b"\x00" * 70_000, "", "ü" * 100])
def test_stored_values_are_those_of_feast(value: bytes | str) -> None:
    from feast.protos.feast.types.Value_pb2 import Value

    expected = Value(bytes_val=value) if isinstance(value, bytes) else Value(string_val=value)
    assert value_message(value) == expected.SerializeToString()
    if isinstance(value, bytes):
        assert bytes_value(value_message(value)) == value


def test_feast_reads_what_was_written_below_it(layout: RedisLayout, repo: str) -> None:
    import feast

    RedisProfileRows(layout).write(rows_of("ann", "~bob"), write_time_s=NOW_S)
    found = (
        feast.FeatureStore(repo_path=repo)
        .get_online_features(
            features=["user_profile:packed", "user_profile:clear"],
            entity_rows=[{"user_key": key} for key in ("ann", "~bob", "nobody")],
        )
        .to_dict()
    )
    assert found["packed"] == [b"ann" * 50, b"~bob" * 50, None]
    assert found["clear"] == ["{}", "{}", None]


def test_rows_are_read_listed_and_deleted(layout: RedisLayout) -> None:
    rows = RedisProfileRows(layout)
    keys = [f"user {n}*[?]" for n in range(2 * PORTION + 1)]
    rows.write(rows_of(*keys), write_time_s=NOW_S)
    assert dict(rows.read([*keys, "nobody"], "packed")) == {key: key.encode() * 50 for key in keys}
    assert sorted(rows.keys("packed")) == sorted(keys)
    rows.delete(keys[1:])
    assert list(rows.keys("packed")) == keys[:1]


def test_a_row_of_another_view_stays(layout: RedisLayout, repo: str) -> None:
    other = RedisProfileRows(replace(layout, view="other_view"))
    mine = RedisProfileRows(layout)
    for rows in (mine, other):
        rows.write(rows_of("ann"), write_time_s=NOW_S)
    mine.delete(["ann"])
    assert dict(mine.read(["ann"], "packed")) == {}
    assert dict(other.read(["ann"], "packed")) == {"ann": b"ann" * 50}


def test_a_writer_that_lost_its_lease_changes_nothing(layout: RedisLayout, client: Redis) -> None:
    with take_lease(client) as old:
        zombie = RedisProfileRows(layout, lease=old.holder)
        zombie.write(rows_of("ann", text="first"), write_time_s=NOW_S)
        client.delete(LEASE_KEY)  # as when it ran out while its holder was paused
        with take_lease(client) as new:
            assert new.epoch > old.epoch
            RedisProfileRows(layout, lease=new.holder).write(rows_of("ann", text="second"), write_time_s=NOW_S)
            with pytest.raises(LeaseLostError, match="another writer has it"):
                zombie.write(rows_of("ann", "eve", text="stale"), write_time_s=NOW_S)
            rows = RedisProfileRows(layout)
            assert sorted(rows.keys("packed")) == ["ann"]
            assert client.hget(rows._key("ann"), rows._field("clear")) == value_message("second")


def test_a_worker_that_was_given_up_does_not_write_over_a_later_batch(layout: RedisLayout, client: Redis) -> None:
    with take_lease(client) as lease:
        zombie, driver = (RedisProfileRows(layout, lease=lease.holder) for _ in range(2))
        driver.begin_batch(b"b1")
        zombie.write(rows_of("ann", text="first"), write_time_s=NOW_S, batch=b"b1")
        driver.begin_batch(b"b2")
        driver.write(rows_of("ann", text="second"), write_time_s=NOW_S, batch=b"b2")
        with pytest.raises(StaleBatchError, match="b1 are written no more"):
            zombie.write(rows_of("ann", text="stale"), write_time_s=NOW_S, batch=b"b1")
        assert client.hget(driver._key("ann"), driver._field("clear")) == value_message("second")


def test_only_one_holds_the_lease_until_it_is_given_back(client: Redis) -> None:
    with take_lease(client) as held:
        with pytest.raises(StoreError, match="another score_stream writes the profiles"):
            take_lease(client, wait_s=0.0)
        assert client.get(LEASE_KEY) == held.holder
        assert not held.lost
    assert client.get(LEASE_KEY) is None
    with take_lease(client, wait_s=0.0) as later:
        assert later.epoch > held.epoch


def test_a_lease_that_nobody_renews_runs_out_and_its_holder_writes_no_more(layout: RedisLayout, client: Redis) -> None:
    with take_lease(client) as before:
        pass
    dead = b"%d:dead" % before.epoch
    client.set(LEASE_KEY, dead, px=400)
    with take_lease(client, wait_s=30.0) as lease:
        assert client.get(LEASE_KEY) == lease.holder != dead
        assert lease.epoch > before.epoch
        with pytest.raises(LeaseLostError, match="another writer has it"):
            RedisProfileRows(layout, lease=dead).write(rows_of("ann"), write_time_s=NOW_S)
        assert list(RedisProfileRows(layout).keys("packed")) == []


def test_a_held_lease_is_renewed(client: Redis) -> None:
    with take_lease(client) as lease:
        client.pexpire(LEASE_KEY, 2_500)
        while client.pttl(LEASE_KEY) <= 2_500:  # until the thread has been there
            time.sleep(0.1)
        assert not lease.lost


def test_a_server_that_went_back_is_not_written_though_it_still_holds_the_lease(
    layout: RedisLayout, tmp_path: Path, stack_id: str
) -> None:
    port = any_free(1)[0]
    own = replace(layout, access=replace(layout.access, nodes=((HOST, port),)))
    process = start_redis(port, tmp_path, stack_id=stack_id)
    try:
        client = own.connect()
        with take_lease(client) as lease:
            rows = RedisProfileRows(own, lease=lease.holder)
            rows.write(rows_of("ann", text="first"), write_time_s=NOW_S)
            client.set(LEASE_KEY, lease.holder)  # without an end, so that the test may take its time
            client.save()
            rows.write(rows_of("ann", text="second"), write_time_s=NOW_S)
            process.kill()
            process.wait()
            process = start_redis(port, tmp_path, stack_id=stack_id)
            assert client.get(LEASE_KEY) == lease.holder
            for writer in (rows, RedisProfileRows(own, lease=lease.holder)):
                for _ in range(2):  # refused again and again, not only by a new connection
                    with pytest.raises(LeaseLostError, match="Redis was started again"):
                        writer.write(rows_of("ann", text="third"), write_time_s=NOW_S)
            assert client.hget(rows._key("ann"), rows._field("clear")) == value_message("first")
            while not lease.lost:  # a writer that has nothing to write sees it as well
                time.sleep(0.1)
        with take_lease(client, wait_s=0.0) as lease:  # the next writer goes on
            RedisProfileRows(own, lease=lease.holder).write(rows_of("ann", text="third"), write_time_s=NOW_S)
    finally:
        process.terminate()
        process.wait(20)


def test_a_cluster_is_written_and_read_under_the_same_lease(layout: RedisLayout, tmp_path: Path, stack_id: str) -> None:
    port, bus = any_free(2)
    process = start_redis(port, tmp_path, "--cluster-enabled", "yes", "--cluster-port", str(bus), stack_id=stack_id)
    try:
        with Redis(host=HOST, port=port) as node:
            node.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16_383)
            while b"cluster_state:ok" not in node.execute_command("CLUSTER", "INFO"):
                time.sleep(0.1)
        cluster = replace(layout, access=replace(layout.access, nodes=((HOST, port),), is_cluster=True))
        with take_lease(cluster.connect()) as lease:
            rows = RedisProfileRows(cluster, lease=lease.holder)
            keys = [f"user {n}" for n in range(PORTION + 20)]
            rows.write(rows_of(*keys), write_time_s=NOW_S)
            assert dict(rows.read(keys, "packed")) == {key: key.encode() * 50 for key in keys}
            assert sorted(rows.keys("packed")) == sorted(keys)
            with pytest.raises(LeaseLostError):
                RedisProfileRows(cluster, lease=b"1:another").write(rows_of("eve"), write_time_s=NOW_S)
            rows.delete(keys)
            assert list(rows.keys("packed")) == []
    finally:
        process.terminate()
        process.wait(20)
