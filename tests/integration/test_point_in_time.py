"""Feast's point-in-time join over rows made from the log gives the states of log rows known before the instant."""

from collections import defaultdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from feature_repo.apply import apply_repository
from mmrec.catalog.item import CatalogEntry
from mmrec.config import Settings, StoreSettings
from mmrec.events.control import IDENTIFY
from mmrec.features.schema import ITEM_STATS, USER_PROFILE
from mmrec.scoring.apply import apply
from mmrec.scoring.batch import NO_SOURCE, EventBatch
from mmrec.scoring.item_statistics import ItemStatistics, accumulate, pack_statistics, unpack_statistics
from mmrec.scoring.packing import pack, unpack
from mmrec.scoring.profile import NEVER_S, empty_profile
from mmrec.stores.feast.offline import FeastOfflineStore
from mmrec.training.offline_rows import Asked, assemble_asked, offline_rows

pytestmark = pytest.mark.integration
START = 1_700_000_000.0
NUM_QUESTIONS = 10_000
DAY = 86_400.0


def planted_log(*, num_events: int = 6_000, seed: int = 4) -> pa.Table:
    """Events of users, of anonymous ids and their logins; some late, some imported (known when they happened)."""
    rng = np.random.default_rng(seed)
    users = np.array([f"u{n}" for n in range(120)] + [f"~a{n}" for n in range(30)])
    event_times = START + np.sort(rng.random(num_events)) * 40 * DAY
    late = rng.choice([0.0, 0.0, 30.0, 2 * DAY], num_events)
    rows = {
        "user_key": users[rng.integers(0, len(users), num_events)].tolist(),
        "item_id": [f"i{n}" for n in rng.zipf(1.4, num_events) % 300],
        "behavior": rng.choice(["browse", "favorite", "cart", "purchase"], num_events).tolist(),
        "event_time_s": event_times,
        "known_time_s": event_times + late,
        "ingest_time_s": event_times + late,
    }
    logins = [(f"u{n}", f"~a{n}", START + (10 + n % 20) * DAY + n) for n in range(0, 30, 2)]
    return pa.table(
        {
            "user_key": rows["user_key"] + [user for user, _, _ in logins],
            "item_id": rows["item_id"] + [anonymous for _, anonymous, _ in logins],
            "behavior": rows["behavior"] + [IDENTIFY] * len(logins),
            **{
                name: np.append(rows[name], [time_s for _, _, time_s in logins])
                for name in ("event_time_s", "known_time_s", "ingest_time_s")
            },
        }
    )


def questions(log: pa.Table, *, number: int = NUM_QUESTIONS, seed: int = 5) -> Asked:
    """Random ones, many of them at the very instant at which something became known."""
    rng = np.random.default_rng(seed)
    users = [*log["user_key"].unique().to_pylist(), "nobody"]
    items = [*[f"i{n}" for n in range(320)]]
    known = log["known_time_s"].to_numpy()
    times = np.where(
        rng.random(number) < 0.5,
        known[rng.integers(0, len(known), number)],
        START + rng.random(number) * 45 * DAY,
    )
    return Asked(
        user_keys=[users[n] for n in rng.integers(0, len(users), number)],
        item_ids=[items[n] for n in rng.integers(0, len(items), number)],
        times_s=times,
    )


class LogRows:
    """The log as a plain list of rows per key: what the law is written against."""

    def __init__(self, log: pa.Table, settings: Settings) -> None:
        self.settings = settings
        self.of_user, self.of_item, self.logins = defaultdict(list), defaultdict(list), {}
        for row in log.to_pylist():
            if row["behavior"] == IDENTIFY:
                self.logins[row["item_id"]] = (row["user_key"], row["known_time_s"])
            else:
                self.of_user[row["user_key"]].append(row)
                self.of_item[row["item_id"]].append(row)

    def profile(self, user_key: str, time_s: float) -> bytes:
        target, login_s = self.logins.get(user_key, (user_key, np.inf))
        owner = target if login_s < time_s else user_key
        keys = [owner, *(a for a, (user, known_s) in self.logins.items() if user == owner and known_s < time_s)]
        rows = [row for key in keys for row in self.of_user[key] if row["known_time_s"] < time_s]
        if not rows:
            behaviors, rates = self.settings.behaviors, self.settings.scoring.decay_per_day
            return pack(empty_profile(behaviors=behaviors, num_half_lives=len(rates)))
        return pack(apply({}, self.batch(rows, owner), config=self.settings.scoring).profiles[owner])

    def statistics(self, item_id: str, time_s: float) -> bytes:
        rows = [row for row in self.of_item[item_id] if row["known_time_s"] < time_s]
        if not rows:
            shape = (len(self.settings.statistics.half_lives_days), len(self.settings.behaviors))
            ids_B = self.settings.behaviors.ids_B
            return pack_statistics(
                ItemStatistics(reference_time_s=NEVER_S, behavior_ids_B=ids_B, counts_HB=np.zeros(shape))
            )
        found = accumulate(
            {},
            self.batch(rows, ""),
            half_lives_days=self.settings.statistics.half_lives_days,
            behavior_ids_B=self.settings.behaviors.ids_B,
        )
        return pack_statistics(found[item_id])

    def batch(self, rows: list[dict], user_key: str) -> EventBatch:
        behaviors = self.settings.behaviors
        return EventBatch(
            user_keys=np.array([user_key] * len(rows), dtype=object),
            item_ids=np.array([row["item_id"] for row in rows], dtype=object),
            behavior_ids_N=behaviors.ids_B[[behaviors.index(row["behavior"]) for row in rows]],
            event_times_N=np.array([row["event_time_s"] for row in rows]),
            known_times_N=np.array([row["known_time_s"] for row in rows]),
            ingest_times_N=np.array([row["ingest_time_s"] for row in rows]),
            event_hashes_N=np.arange(len(rows), dtype=np.uint64),
            sources=(),
            source_index_N=np.full(len(rows), NO_SOURCE, dtype=np.int32),
            offsets_N=np.full(len(rows), -1, dtype=np.int64),
        )


def test_features_of_the_join_equal_features_of_log_rows_known_before(tmp_path: Path) -> None:
    settings = Settings(stores=StoreSettings(feature_repo=str(tmp_path)))
    apply_repository(settings.stores, settings.scoring.decay_per_day)
    log = planted_log()
    asked = questions(log)
    offline = FeastOfflineStore(str(tmp_path))
    # Rows of an earlier question list are replaced: an answer never comes from them.
    offline.replace(
        offline_rows(log, questions(log, number=500, seed=6), settings=settings, created_s=START + 50 * DAY)
    )
    offline.replace(offline_rows(log, asked, settings=settings, created_s=START + 51 * DAY))
    profiles = offline.packed_as_of(USER_PROFILE, asked.user_keys, asked.timestamps)
    statistics = offline.packed_as_of(ITEM_STATS, asked.item_ids, asked.timestamps)
    entries = {
        f"i{n}": CatalogEntry(
            item_id=f"i{n}",
            title=f"item {n}",
            domain="beauty" if n % 3 else "fashion",
            attributes={"color": f"c{n % 5}"},
            price=1.0 + n % 40,
            currency="EUR",
            publish_time_s=START + (n % 30) * DAY,
        )
        for n in range(300)
    }
    rows = LogRows(log, settings)
    where = list(zip(asked.user_keys, asked.item_ids, asked.times_s.tolist(), strict=True))
    expected_profiles = [rows.profile(user, time_s) for user, _, time_s in where]
    expected_statistics = [rows.statistics(item, time_s) for _, item, time_s in where]
    assert [unpack(p).num_events for p in profiles] == [unpack(p).num_events for p in expected_profiles]
    assert [unpack_statistics(s).num_events for s in statistics] == [
        unpack_statistics(s).num_events for s in expected_statistics
    ]
    joined_GF = assemble_asked(asked, profiles, statistics, entries, settings=settings)
    recomputed_GF = assemble_asked(asked, expected_profiles, expected_statistics, entries, settings=settings)
    assert joined_GF.shape[0] == NUM_QUESTIONS
    np.testing.assert_allclose(joined_GF, recomputed_GF, rtol=1e-6, atol=1e-7)
    assert len(np.unique(joined_GF, axis=0)) > NUM_QUESTIONS // 4
