"""Judging a micro-batch in partitions gives what judging it as a whole gives."""

import json
import zlib
from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from jobs.spark_insides import shuffle_parts
from mmrec.config import Settings
from mmrec.events.columns import EVENT_SCHEMA, RAW_SCHEMA
from mmrec.events.forgotten import MemoryForgottenUsers
from mmrec.events.to_batch import event_batch
from mmrec.features.values import PackedProfile
from mmrec.scoring.apply import apply
from mmrec.scoring.identity import Reading, identify
from mmrec.scoring.packing import pack, unpack
from mmrec.scoring.profile import UserProfile
from mmrec.scoring.verdicts import Verdict
from mmrec.stream.partition_step import JUDGED_SCHEMA, OWNER, judge_rows, judged_events, with_owners
from mmrec.stream.rows import RecordKind, StreamTopic, decode_rows, split_rows

NOW_S = 1_760_000_000.0
SETTINGS = Settings()
SCORING = SETTINGS.scoring
TOPICS = {
    "behavior-events": StreamTopic(name="behavior-events", cluster_id="c", topic_id="t", kind=RecordKind.BEHAVIOR_EVENT)
}


def decoded(rows: list[tuple[str, str, str, int]], first: dict[int, int]) -> pa.Table:
    """STREAM_SCHEMA of events (user or ~anonymous, item, event id, partition) behind the offsets `first`."""
    columns: dict[str, list] = {"topic": [], **{name: [] for name in RAW_SCHEMA.names}}
    offsets = dict(first)
    for key, item, event_id, partition in rows:
        who = {"anonymous_id": key[1:]} if key.startswith("~") else {"user_id": key}
        value = {"event_id": event_id, "item_id": item, "behavior": "cart", **who}
        cells = ("behavior-events", key.lstrip("~").encode(), json.dumps(value).encode(), partition)
        offset = offsets[partition] = offsets.get(partition, -1) + 1
        for name, cell in zip(columns, (*cells, offset, NOW_S + offset), strict=True):
            columns[name].append(cell)
    raw = pa.table({"topic": pa.array(columns.pop("topic"), pa.string()), **columns})
    raw = raw.cast(pa.schema([pa.field("topic", pa.string()), *RAW_SCHEMA]))
    return decode_rows(raw, TOPICS, behaviors=SETTINGS.behaviors, settings=SETTINGS.events)


class Stored:
    def __init__(self, profiles: dict[str, UserProfile]) -> None:
        self.packed = {key: pack(profile) for key, profile in profiles.items()}

    def read(self, keys: Iterable[str]) -> list[tuple[str, bytes]]:
        return [(key, self.packed[key]) for key in keys if key in self.packed]


def judged_in_parts(
    rows: pa.Table, stored: Stored, num_parts: int, forgotten: MemoryForgottenUsers
) -> tuple[pa.Table, dict[str, PackedProfile]]:
    """(judged rows, changed profiles)."""
    owned = with_owners(rows, read_packed=stored.read)
    part_N = np.array([zlib.crc32(key.encode()) % num_parts for key in owned[OWNER].to_pylist()], dtype=np.int64)
    profiles: dict[str, PackedProfile] = {}
    judged = [
        judge_rows(
            owned.filter(pa.array(part_N == part)),
            read_packed=stored.read,
            scoring=SCORING,
            forgotten=forgotten,
            put=profiles.update,
        )
        for part in range(num_parts)
    ]
    return pa.concat_tables([part.rows for part in judged]), profiles


people = st.sampled_from(["ann", "bob", "eve", "gone", "~x", "~y"])
batches = st.lists(
    st.tuples(
        people, st.sampled_from(["i1", "i2", "i3"]), st.sampled_from([f"e{n}" for n in range(9)]), st.integers(0, 1)
    ),
    max_size=25,
)


@hypothesis_settings(deadline=None, max_examples=60)
@given(before=batches, batch=batches, num_parts=st.integers(1, 4), logged_in=st.booleans())
def test_partitions_judge_as_the_whole_does(before, batch, num_parts: int, logged_in: bool) -> None:
    first = split_rows(decoded(before, {}), TOPICS)
    profiles = apply({}, event_batch(first.events, SETTINGS.behaviors), config=SCORING).profiles
    if logged_in:
        logins = {"~x": [(NOW_S, "ann"), (NOW_S + 5, "bob")]}
        profiles |= identify(profiles, logins, config=SCORING, reading=Reading.PASSING).profiles
    forgotten = MemoryForgottenUsers()
    forgotten.forget("gone", known_time_s=NOW_S + 12)
    stored = Stored(profiles)
    ends = {source.partition: end for source, end in first.ends.items()}
    rows = decoded(batch, ends)
    whole = split_rows(rows, TOPICS)
    expected = apply(
        {key: unpack(data) for key, data in stored.packed.items()},
        event_batch(whole.events, SETTINGS.behaviors),
        config=SCORING,
        forgotten=forgotten.forgotten_s(["gone"]),
    )
    judged, profiles = judged_in_parts(rows, stored, num_parts, forgotten)
    assert judged.schema == JUDGED_SCHEMA
    seen, said = judged_events(judged)
    assert split_rows(seen, TOPICS).events.equals(whole.events)
    assert said.verdicts_N.tolist() == expected.verdicts_N.tolist()
    assert {key: profile.packed for key, profile in profiles.items()} == {
        key: pack(profile) for key, profile in expected.profiles.items()
    }


def test_events_of_a_merged_anonymous_profile_go_to_the_partition_of_its_user() -> None:
    profiles = identify({}, {"~x": [(NOW_S, "ann")]}, config=SCORING).profiles
    rows = decoded([("~x", "i1", "a", 0), ("~y", "i1", "b", 0), ("ann", "i1", "c", 0)], {})
    owned = with_owners(rows, read_packed=Stored(profiles).read)
    assert owned[OWNER].to_pylist() == ["ann", "~y", "ann"]
    written: dict[str, PackedProfile] = {}
    judge_rows(owned, read_packed=Stored(profiles).read, scoring=SCORING, forgotten=None, put=written.update)
    assert unpack(written["ann"].packed).num_events == 2
    assert "~x" not in written


def test_rows_of_other_kinds_pass_through() -> None:
    rows = decoded([("ann", "i1", "a", 0)], {})
    raw = pa.table(
        {
            "topic": ["behavior-events"],
            "key": [b"k"],
            "value": [b"no json"],
            "partition": pa.array([0], pa.int32()),
            "offset": [9],
            "ingest_time_s": [NOW_S],
        }
    )
    refused = decode_rows(raw, TOPICS, behaviors=SETTINGS.behaviors, settings=SETTINGS.events)
    owned = with_owners(pa.concat_tables([rows, refused]), read_packed=Stored({}).read)
    judged = judge_rows(owned, read_packed=Stored({}).read, scoring=SCORING, forgotten=None, put={}.update)
    seen, said = judged_events(judged.rows)
    batch = split_rows(seen, TOPICS)
    assert batch.rejected["reason"].to_pylist() == ["malformed_json"]
    assert said.verdicts_N.tolist() == [Verdict.ACCEPTED]
    assert said.owners.to_pylist() == ["ann"]
    assert batch.events.schema == EVENT_SCHEMA


@pytest.mark.parametrize("kinds", [0, 1])
def test_a_partition_without_events_is_judged_too(kinds: int) -> None:
    rows = decoded([("ann", "i1", "a", 0)] * kinds, {}).slice(kinds)
    owned = with_owners(rows, read_packed=Stored({}).read)
    judged = judge_rows(owned, read_packed=Stored({}).read, scoring=SCORING, forgotten=None, put={}.update)
    assert judged.rows.num_rows == 0


def test_one_number_goes_to_each_partition_of_sparks_shuffle() -> None:
    # Places as Spark 4.0 gives them: SELECT id, pmod(hash(CAST(id AS INT)), 7) FROM range(13)
    assert shuffle_parts(1) == [0]
    assert shuffle_parts(2) == [2, 0]
    assert shuffle_parts(7) == [12, 0, 1, 9, 3, 2, 11]
