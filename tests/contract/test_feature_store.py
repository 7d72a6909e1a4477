"""One suite for all feature stores: memory, Feast on SQLite, Feast on Redis where a server is at hand.

Each law says by its parameter of which port it is (mmrec.features.ports).
"""

import ast
import json
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from feast.repo_config import RepoConfig
from redis import Redis

from feature_repo.apply import apply_repository
from mmrec.catalog.item import Availability, CatalogEntry
from mmrec.config import StoreSettings
from mmrec.errors import ConfigurationError, IncompatibleStateError, InvalidRequestError, NotFoundError, StoreError
from mmrec.features import ports
from mmrec.features.ports import (
    FeatureStore,
    GenerationStore,
    ItemContentStore,
    ItemViewStore,
    ProfileGenerations,
    ProfileStore,
    ServingFeatures,
)
from mmrec.features.record_counts import RecordCounts
from mmrec.features.schema import feature_fingerprint
from mmrec.features.stores import MemoryFeatureStore
from mmrec.features.values import Neighbors, PopularItems, StreamProgress
from mmrec.scoring.apply import apply
from mmrec.scoring.batch import session_batch
from mmrec.scoring.behaviors import shop_behaviors
from mmrec.scoring.item_statistics import ItemStatistics
from mmrec.scoring.packing import pack
from mmrec.scoring.profile import UserProfile
from mmrec.scoring.settings import ScoringConfig
from mmrec.scoring.source import Source
from mmrec.scoring.verdicts import Verdict
from mmrec.stores.feast.repository import repository_yaml
from mmrec.stores.feast.store import FeastFeatureStore

CONFIG = ScoringConfig(behaviors=shop_behaviors())
NOW_S = 1_760_000_000.0


@pytest.fixture(params=["memory", "sqlite", "redis"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> FeatureStore:
    if request.param == "memory":
        return MemoryFeatureStore()
    server = request.getfixturevalue("redis_server") if request.param == "redis" else ""
    stores = StoreSettings(feature_repo=str(tmp_path / "repo"), online_store=request.param, redis_connection=server)
    if server:
        with Redis.from_url(f"redis://{stores.redis_connection}") as server:
            server.flushdb()
    apply_repository(stores, CONFIG.decay_per_day)
    return FeastFeatureStore(stores.feature_repo, scoring=CONFIG)


@pytest.fixture
def reopen(store: FeatureStore) -> Callable[[], FeatureStore]:
    """Opens the same store as another process would; the memory store is its own reopening."""
    if isinstance(store, MemoryFeatureStore):
        return lambda: store
    return lambda: FeastFeatureStore(str(store._repository.config.repo_path), scoring=CONFIG)


def profile_of(*item_ids: str, user_key: str = "ann") -> UserProfile:
    number = len(item_ids)
    events = session_batch(
        user_key=user_key,
        item_ids=item_ids,
        behavior_ids=[1] * number,
        event_times_s=[NOW_S + n for n in range(number)],
        event_ids=[f"{user_key}-{n}" for n in range(number)],
        ingest_time_s=NOW_S,
    )
    return apply({}, events, config=CONFIG).profiles[user_key]


def test_every_method_of_a_port_is_called_by_a_law_of_that_port() -> None:
    called: dict[str, set[str]] = defaultdict(set)
    for law in ast.parse(Path(__file__).read_text(encoding="utf-8")).body:
        if isinstance(law, ast.FunctionDef) and law.name.startswith("test_") and law.args.args:
            named = ast.unparse(law.args.args[0].annotation).rpartition(" ")[2].strip("]")
            called[named] |= {node.attr for node in ast.walk(law) if isinstance(node, ast.Attribute)}
    for port in FeatureStore.__mro__:
        if port.__module__ == ports.__name__:
            wider = [name for name in called if port in getattr(getattr(ports, name, None), "__mro__", ())]
            laws = set().union(*(called[name] for name in wider))
            assert {name for name in vars(port) if not name.startswith("_")} <= laws, port.__name__


def test_a_store_names_the_schema_it_was_made_for(store: ServingFeatures) -> None:
    assert store.fingerprint == feature_fingerprint()


def test_what_is_written_is_read_and_absent_keys_are_left_out(store: ProfileStore) -> None:
    profiles = {"ann": profile_of("i1", "i2"), "~guest": profile_of("i3", user_key="~guest")}
    store.write_profiles(profiles, write_time_s=NOW_S)
    found = store.read_profiles(["~guest", "nobody", "ann"])
    assert {key: pack(profile) for key, profile in found.items()} == {k: pack(p) for k, p in profiles.items()}
    assert store.read_profiles([]) == {}


def test_packed_profiles_are_written_like_others_beside_them(store: ProfileStore) -> None:
    profiles = {name: profile_of("i1", "i2", user_key=name) for name in ("ann", "bob", "cas")}
    packed = store.packed({name: profiles[name] for name in ("ann", "cas")})
    assert store.read_profiles(profiles) == {}
    store.write_profiles({**profiles, **packed}, write_time_s=NOW_S, progress=StreamProgress(log_sequence=1))
    found = store.read_profiles(profiles)
    assert {key: pack(profile) for key, profile in found.items()} == {k: pack(p) for k, p in profiles.items()}
    assert store.packed({"cas": found["cas"]}) == {"cas": packed["cas"]}
    assert store.read_progress() == StreamProgress(log_sequence=1)


def test_packed_profiles_are_read_as_they_would_be_packed(store: ProfileStore) -> None:
    profiles = {name: profile_of("i1", "i2", user_key=name) for name in ("ann", "bob")}
    store.write_profiles(profiles, write_time_s=NOW_S)
    assert store.read_packed(["bob", "nobody"]) == {"bob": pack(profiles["bob"])}
    assert store.read_packed(["bob"])["bob"] == store.packed(profiles)["bob"].packed


def test_the_last_write_stands_whatever_its_instant(store: ProfileStore) -> None:
    for item_id, write_time_s in (("i1", NOW_S), ("i2", NOW_S), ("i3", NOW_S - 100.0)):
        store.write_profiles({"ann": profile_of(item_id)}, write_time_s=write_time_s)
        assert store.read_profiles(["ann"])["ann"].item_ids == (item_id,)


def test_a_clock_that_was_set_back_across_a_restart_loses_nothing(reopen: Callable[[], ProfileStore]) -> None:
    for item_id, sequence, write_time_s in (("i1", 1, NOW_S), ("i2", 2, NOW_S - 3_600.0)):
        progress = StreamProgress(log_sequence=sequence)
        reopen().write_profiles({"ann": profile_of(item_id)}, write_time_s=write_time_s, progress=progress)
    assert reopen().read_profiles(["ann"])["ann"].item_ids == ("i2",)
    assert reopen().read_progress() == StreamProgress(log_sequence=2)


def test_progress_stands_beside_the_profiles(store: ProfileStore) -> None:
    assert store.read_progress() is None
    progress = StreamProgress(
        marks={Source("c", "t", 0): 41, Source("c", "t", 1): 7},
        counts=RecordCounts(verdicts={Verdict.ACCEPTED: 40}, rejected={"bad_time": 2}, served_lists=3),
        newest_ingest_time_s=NOW_S,
        log_sequence=3,
    )
    store.write_profiles({"ann": profile_of("i1")}, write_time_s=NOW_S, progress=progress)
    store.write_profiles({"bob": profile_of("i1")}, write_time_s=NOW_S)
    assert store.read_progress() == progress
    store.write_profiles({}, write_time_s=NOW_S, progress=replace(progress, log_sequence=4))
    assert store.read_progress() == replace(progress, log_sequence=4)
    assert set(store.read_profiles(["ann", "bob"])) == {"ann", "bob"}


def test_generations_are_apart_and_readers_follow_the_pointer(reopen: Callable[[], ProfileGenerations]) -> None:
    store, reader = reopen(), reopen()
    assert store.live_generation() == "a"
    store.write_profiles({"ann": profile_of("i1")}, write_time_s=NOW_S, progress=StreamProgress(log_sequence=1))
    other = store.generation("b")
    assert other.read_profiles(["ann"]) == {}
    assert other.read_progress() is None
    later = {"ann": profile_of("i2"), "bob": profile_of("i2")}
    other.write_profiles(later, write_time_s=NOW_S, progress=StreamProgress(log_sequence=2))
    assert reader.read_profiles(["ann", "bob"])["ann"].item_ids == ("i1",)
    assert list(reader.user_keys()) == ["ann"]
    store.set_live_generation("b")
    assert reader.live_generation() == "b"
    found = reader.read_profiles(["ann", "bob"])
    assert {key: profile.item_ids for key, profile in found.items()} == {"ann": ("i2",), "bob": ("i2",)}
    assert reader.read_progress() == StreamProgress(log_sequence=2)
    assert sorted(reader.user_keys()) == ["ann", "bob"]
    assert reader.generation("a").read_progress() == StreamProgress(log_sequence=1)
    store.set_live_generation("a")
    assert reader.read_profiles(["ann"])["ann"].item_ids == ("i1",)


def test_a_generation_begins_empty_and_the_live_one_cannot(store: GenerationStore) -> None:
    for name in ("a", "b"):
        store.generation(name).write_profiles(
            {f"u{n}": profile_of("i1") for n in range(3)}, write_time_s=NOW_S, progress=StreamProgress()
        )
    store.request_flip("b")
    store.begin_generation("b")
    assert store.requested_flip() is None
    assert list(store.generation("b").user_keys()) == []
    assert store.generation("b").read_progress() is None
    assert len(list(store.generation("a").user_keys())) == 3
    with pytest.raises(InvalidRequestError, match="live"):
        store.begin_generation("a")
    with pytest.raises(NotFoundError, match="known: a, b"):
        store.generation("c")


def test_a_request_for_a_flip_stands_until_it_is_answered(reopen: Callable[[], GenerationStore]) -> None:
    store = reopen()
    assert store.requested_flip() is None
    reopen().request_flip("b")
    assert store.requested_flip() == "b"
    store.request_flip(None)
    assert store.requested_flip() is None
    store.request_flip("b")
    store.set_live_generation("b")
    assert store.requested_flip() is None
    with pytest.raises(NotFoundError, match="known: a, b"):
        store.request_flip("c")


def test_a_forgotten_profile_goes_from_every_generation(store: ProfileGenerations) -> None:
    for name in ("a", "b"):
        store.generation(name).write_profiles({k: profile_of("i1") for k in ("ann", "bob")}, write_time_s=NOW_S)
    store.generation("b").delete_profiles(["bob"])
    assert [list(store.generation(n).read_profiles(["bob"])) for n in ("a", "b")] == [["bob"], []]
    store.delete_profiles(["ann", "nobody"])
    assert [list(store.generation(n).read_profiles(["ann"])) for n in ("a", "b")] == [[], []]


def test_more_keys_than_one_statement_takes_are_read(store: ProfileStore) -> None:
    profile = profile_of("i1")
    store.write_profiles({f"u{n}": profile for n in range(2_500)}, write_time_s=NOW_S)
    assert len(store.read_profiles([f"u{n}" for n in range(3_000)])) == 2_500


def test_deleted_profiles_are_gone_and_keys_name_the_others(store: ProfileStore) -> None:
    keys = [f"u{n}" for n in range(1_200)]
    store.write_profiles(dict.fromkeys(keys, profile_of("i1")), write_time_s=NOW_S, progress=StreamProgress())
    assert sorted(store.user_keys()) == sorted(keys)
    store.delete_profiles([*keys[2:], "nobody"])
    assert sorted(store.user_keys()) == ["u0", "u1"]
    assert set(store.read_profiles(keys)) == {"u0", "u1"}
    assert store.read_progress() == StreamProgress()


def test_no_byte_of_a_deleted_profile_stays_in_the_files(tmp_path: Path) -> None:
    stores = sqlite_repository(tmp_path)
    store = FeastFeatureStore(stores.feature_repo, scoring=CONFIG)
    for number in range(3):  # older versions of the profile, too
        items = [f"secret-{n}" for n in range(200 * number + 1)]
        store.write_profiles({"ann": profile_of(*items), "bob": profile_of("i1")}, write_time_s=NOW_S)
    files = list(Path(stores.feature_repo).glob("online.db*"))
    assert any(b"secret-" in file.read_bytes() for file in files)
    store.delete_profiles(["ann"])
    assert not any(b"secret-" in file.read_bytes() for file in files)
    assert list(store.read_profiles(["ann", "bob"])) == ["bob"]


def test_item_views_round_trip(store: ItemViewStore) -> None:
    statistics = ItemStatistics(
        reference_time_s=NOW_S,
        behavior_ids_B=CONFIG.behaviors.ids_B,
        counts_HB=np.arange(12, dtype=np.float64).reshape(3, 4),
    )
    store.write_item_statistics({"i1": statistics}, write_time_s=NOW_S)
    assert np.array_equal(store.read_item_statistics(["i1", "i2"])["i1"].counts_HB, statistics.counts_HB)
    neighbors = Neighbors(item_ids=("i2", "é"), weights_K=np.array([0.5, 0.25], dtype=np.float32), built_time_s=NOW_S)
    store.write_neighbors({"i1": neighbors}, write_time_s=NOW_S)
    found = store.read_neighbors(["i1", "i9"])
    assert list(found) == ["i1"]
    assert found["i1"].item_ids == neighbors.item_ids
    assert np.array_equal(found["i1"].weights_K, neighbors.weights_K)


def test_serving_fields_round_trip(store: ItemContentStore) -> None:
    entry = CatalogEntry(
        item_id="i1",
        title="Robe d'été",
        domain="fashion",
        attributes={"color": "red"},
        price=9.5,
        currency="EUR",
        availability=Availability.OUT_OF_STOCK,
        publish_time_s=NOW_S,
        update_time_s=NOW_S + 0.25,
        expire_time_s=NOW_S + 60.0,
    )
    store.write_item_content({"i1": entry}, write_time_s=NOW_S)
    assert store.read_item_content(["i1", "i2"]) == {"i1": entry}


def test_popular_items_of_all_domains_have_the_empty_name(store: ItemViewStore) -> None:
    assert store.read_popular("") is None
    popular = PopularItems(item_ids=("i2", "i1"), popularity_K=np.array([3.0, 1.0]), as_of_s=NOW_S)
    store.write_popular("", popular, write_time_s=NOW_S)
    found = store.read_popular("")
    assert found is not None
    assert found.item_ids == popular.item_ids
    assert np.array_equal(found.popularity_K, popular.popularity_K)
    assert store.read_popular("fashion") is None


def sqlite_repository(tmp_path: Path) -> StoreSettings:
    stores = StoreSettings(feature_repo=str(tmp_path / "repo"))
    apply_repository(stores, CONFIG.decay_per_day)
    return stores


def test_feast_itself_reads_the_values_in_the_clear(tmp_path: Path) -> None:
    import feast

    stores = sqlite_repository(tmp_path)
    store = FeastFeatureStore(stores.feature_repo, scoring=CONFIG)
    store.write_profiles({"ann": profile_of("i1", "i2", "i2")}, write_time_s=NOW_S)
    reader = feast.FeatureStore(repo_path=stores.feature_repo)
    row = reader.get_online_features(
        features=["user_profile:clear", "user_profile:packed"], entity_rows=[{"user_key": "ann"}]
    ).to_dict()
    clear = json.loads(row["clear"][0])
    assert list(clear["top_items"]) == ["i2", "i1"]
    assert clear["num_events"] == 3
    assert clear["newest_event_time_s"] == NOW_S + 2
    assert clear["totals"]["browse"] == pytest.approx(3.0, rel=1e-5)
    assert row["packed"] == [pack(store.read_profiles(["ann"])["ann"])]


WRITER = """
import sys
from mmrec.features.values import PopularItems
from mmrec.stores.feast.store import FeastFeatureStore
import numpy as np
store = FeastFeatureStore(sys.argv[1])
print("ready", flush=True)
for line in sys.stdin:
    number = int(line)
    popular = PopularItems(item_ids=(f"i{number}",) * 200, popularity_K=np.ones(200), as_of_s=float(number))
    for domain in range(50):
        store.write_popular(str(domain), popular, write_time_s=float(number))
    print(number, flush=True)
"""


def test_processes_see_each_others_writes_at_once_and_two_writers_take_turns(tmp_path: Path) -> None:
    stores = sqlite_repository(tmp_path)
    store = FeastFeatureStore(stores.feature_repo, scoring=CONFIG)
    command = [sys.executable, "-c", WRITER, stores.feature_repo]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        assert other.stdout.readline() == "ready\n"
        for number in range(1, 6):
            other.stdin.write(f"{number}\n")
            other.stdin.flush()
            for _ in range(20):  # while the other process writes its view
                store.write_profiles({f"u{n}": profile_of(f"i{number}") for n in range(20)}, write_time_s=time.time())
            assert other.stdout.readline() == f"{number}\n"
            popular = store.read_popular("49")
            assert popular is not None
            assert popular.as_of_s == number
            assert store.read_profiles(["u7"])["u7"].item_ids == (f"i{number}",)
        other.stdin.close()


def test_a_repository_of_other_decay_rates_is_refused(tmp_path: Path) -> None:
    stores = sqlite_repository(tmp_path)
    apply_repository(stores, CONFIG.decay_per_day)
    with pytest.raises(IncompatibleStateError, match="mmrec rebuild"):
        apply_repository(stores, (0.1,))
    other = FeastFeatureStore(stores.feature_repo, scoring=replace(CONFIG, decay_per_day=(0.1,)))
    for ask in (other.read_progress, lambda: other.read_profiles(["ann"])):
        with pytest.raises(IncompatibleStateError, match="mmrec rebuild"):
            ask()


def test_a_generation_has_rates_of_its_own_and_those_of_the_live_one_are_asked_for(tmp_path: Path) -> None:
    stores, faster = sqlite_repository(tmp_path), replace(CONFIG, decay_per_day=(0.1,))
    old, new = (FeastFeatureStore(stores.feature_repo, scoring=scoring) for scoring in (CONFIG, faster))
    old.write_profiles({"ann": profile_of("i1")}, write_time_s=NOW_S)
    new.begin_generation("b")
    with pytest.raises(IncompatibleStateError, match=r"0\.1"):
        old.generation("b").read_profiles(["ann"])
    new.generation("b").write_profiles({"ann": profile_of("i2")}, write_time_s=NOW_S)
    assert old.read_profiles(["ann"])["ann"].item_ids == ("i1",)
    new.set_live_generation("b")
    assert new.read_profiles(["ann"])["ann"].item_ids == ("i2",)
    with pytest.raises(IncompatibleStateError, match="mmrec rebuild"):
        old.read_profiles(["ann"])
    apply_repository(stores, (0.1,))
    with pytest.raises(IncompatibleStateError, match="mmrec rebuild"):
        apply_repository(stores, CONFIG.decay_per_day)
    new.set_live_generation("a")
    assert old.read_profiles(["ann"])["ann"].item_ids == ("i1",)  # its rates were written down before the new apply
    with pytest.raises(IncompatibleStateError, match="mmrec rebuild"):
        new.read_profiles(["ann"])


def test_a_folder_without_a_repository_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"feature_repo\.apply"):
        FeastFeatureStore(str(tmp_path))


def test_the_online_store_is_chosen_by_configuration() -> None:
    assert "type: sqlite" in repository_yaml(StoreSettings())
    redis = repository_yaml(StoreSettings(online_store="redis", redis_connection="cache:6379,password=x"))
    assert 'connection_string: "cache:6379"' in redis  # the file is read by everybody: it holds no login
    online = RepoConfig(**yaml.safe_load(redis)).online_store
    assert online.skip_dedup  # or Feast drops rows written by a clock that was set back
    with pytest.raises(ConfigurationError, match="redis_connection"):
        repository_yaml(StoreSettings(online_store="redis"))
    with pytest.raises(ConfigurationError, match=r"online_store is .dynamo.; give"):
        repository_yaml(StoreSettings(online_store="dynamo"))
