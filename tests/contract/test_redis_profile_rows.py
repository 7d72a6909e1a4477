"""Profile rows in Redis below Feast: what Feast wrote is read, what is written Feast reads; and the writer's lease."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from feature_repo.apply import apply_repository
from mmrec.config import StoreSettings
from mmrec.errors import StoreError
from mmrec.events.behaviors import shop_behaviors
from mmrec.features.schema import USER_PROFILE
from mmrec.scoring.settings import ScoringConfig
from mmrec.stores.feast_repository import open_repository
from mmrec.stores.redis_layout import redis_layout
from mmrec.stores.redis_profile_rows import PORTION, RedisLayout, RedisProfileRows
from mmrec.stores.value_bytes import bytes_value, value_message
from mmrec.stores.writer_lease import LEASE_KEY, LeaseLostError, take_lease

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
def test_messages_are_those_of_protobuf(value: bytes | str) -> None:
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
    from dataclasses import replace

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
            with pytest.raises(LeaseLostError, match="is another's now"):
                zombie.write(rows_of("ann", "eve", text="stale"), write_time_s=NOW_S)
            rows = RedisProfileRows(layout)
            assert sorted(rows.keys("packed")) == ["ann"]
            assert client.hget(rows._key("ann"), rows._field("clear")) == value_message("second")


def test_only_one_holds_the_lease_until_it_is_given_back(client: Redis) -> None:
    with take_lease(client), pytest.raises(StoreError, match="another score_stream writes the profiles"):
        take_lease(client, wait_s=0.0)
    take_lease(client, wait_s=0.0).close()


def test_a_lease_that_nobody_renews_runs_out(client: Redis) -> None:
    client.set(LEASE_KEY, b"1:dead", px=400)
    take_lease(client, wait_s=30.0).close()


def test_a_held_lease_is_renewed(client: Redis) -> None:
    with take_lease(client) as lease:
        client.pexpire(LEASE_KEY, 2_500)
        while client.pttl(LEASE_KEY) <= 2_500:  # until the thread has been there
            time.sleep(0.1)
        assert not lease.lost
