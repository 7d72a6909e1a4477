"""A stream whose micro-batches are judged in partitions ends where one that judges them as a whole ends."""

import random
import zlib

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from mmrec.events.control import forget_event, identify_event
from mmrec.events.encoding import encode_event
from mmrec.scoring.packing import pack
from mmrec.stream.partition_step import (
    OWNER,
    Written,
    asks_to_forget,
    judge_rows,
    judged_events,
    with_owners,
)
from mmrec.stream.rows import split_rows
from mmrec.stream.step import ScoringStream
from tests.unit.test_stream import NOW_S, CrashError, Deployment, event
from tests.unit.test_stream_control import WRITES, Fragile, guest_event

NUM_PARTS = 3


class Partitioned(Fragile):
    """Judges and writes profiles in parts, as Spark's workers do."""

    max_profiles = 2
    lost_parts = False

    def read_packed(self, keys) -> list[tuple[str, bytes]]:
        return [(key, pack(profile)) for key, profile in self.store.read_profiles(keys).items()]

    def step(self, stream: ScoringStream, starts: dict, sizes: dict) -> None:
        owned = with_owners(self.rows(starts, sizes), read_packed=self.read_packed)
        part_N = np.array([zlib.crc32(key.encode()) % NUM_PARTS for key in owned[OWNER].to_pylist()], dtype=np.int64)
        kept: list[dict] = [{} for _ in range(NUM_PARTS)]
        judged = [
            judge_rows(
                owned.filter(pa.array(part_N == part)),
                read_packed=self.read_packed,
                scoring=self.settings.scoring,
                forgotten=self.forgotten,
                put=kept[part].update,
                max_profiles=self.max_profiles,
            )
            for part in range(NUM_PARTS)
        ]
        seen, said = judged_events(pa.concat_tables([part.rows for part in judged]))
        batch = split_rows(seen, self.topics)

        def write(left_out: frozenset[str]) -> Written:
            number = 0
            for part, profiles in enumerate(kept):  # each part's writes stand by themselves
                if self.lost_parts:  # what was kept is gone: the part is judged again from its judged rows
                    profiles.clear()
                    judge_rows(
                        judged[part].rows,
                        read_packed=self.read_packed,
                        scoring=self.settings.scoring,
                        forgotten=self.forgotten,
                        put=profiles.update,
                        max_profiles=self.max_profiles,
                    )
                written = {key: profile for key, profile in profiles.items() if key not in left_out}
                self.store.write_profiles(written, write_time_s=NOW_S)
                number += len(written)
                if self.crash_at == "between parts":
                    raise CrashError
            return Written(num_profiles=number, num_pruned=sum(part.num_pruned for part in judged))

        if asks_to_forget(batch):
            stream.process(batch, write_time_s=NOW_S)
        else:
            stream.process_judged(batch, said, write=write, write_time_s=NOW_S)


def run_out(deployment: Deployment, shuffle: random.Random, step, *, crash_share: float) -> ScoringStream:
    stream = deployment.start()
    for _ in range(10_000):
        starts = deployment.starts(stream)
        left = {place: len(deployment.records[place]) - start for place, start in starts.items()}
        if not any(left.values()):
            return stream
        sizes = {place: shuffle.randint(0, number) for place, number in left.items()}
        deployment.crash_at = shuffle.choice([*WRITES, "between parts"]) if shuffle.random() < crash_share else ""
        try:
            step(stream, starts, sizes)
        except CrashError:
            stream = deployment.start()
    raise AssertionError("does not come to an end")


def plant(deployment: Deployment, shuffle: random.Random, *, with_forgets: bool) -> None:
    sent = []
    for number in range(40):
        user, guest = f"u{shuffle.randrange(3)}", f"g{shuffle.randrange(2)}"
        kind = shuffle.random()
        if kind < 0.12 and not with_forgets:
            record = encode_event(identify_event(event_id=f"l{number}", user_id=user, anonymous_id=guest))
        elif kind < 0.14 and with_forgets:
            record = encode_event(forget_event(event_id=f"f{number}", user_id=user))
        elif kind < 0.4:
            record = guest_event(number, guest, f"i{number % 4}", float(number * 500))
        else:
            record = event(number, user, item=f"i{number % 4}", age_s=float(number * 700 + 1))
        if not record[0].startswith(b"g"):  # a repeat that comes once another user has logged in is that user's
            sent.append(record)
        deployment.records["behavior-events", zlib.crc32(record[0]) % 2].append(record)
    for record in shuffle.sample(sent, 6):
        deployment.records["behavior-events", zlib.crc32(record[0]) % 2].append(record)
    deployment.records["behavior-events", 0].append((b"u1", b"{"))


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000), crash_share=st.sampled_from([0.0, 0.5]), lost_parts=st.booleans())
def test_parts_end_where_the_whole_ends(seed: int, crash_share: float, lost_parts: bool) -> None:
    whole, parts = Fragile(), Partitioned()
    parts.lost_parts = lost_parts
    for deployment in (whole, parts):
        plant(deployment, random.Random(seed), with_forgets=False)
    cuts = random.Random(seed + 1)
    one = run_out(
        whole,
        cuts,
        lambda stream, starts, sizes: stream.process(whole.batch(starts, sizes), write_time_s=NOW_S),
        crash_share=0.0,
    )
    other = run_out(parts, cuts, parts.step, crash_share=crash_share)
    assert other.progress.marks == one.progress.marks
    assert other.progress.counts == one.progress.counts
    keys = sorted(whole.store.user_keys())
    assert sorted(parts.store.user_keys()) == keys
    mine, theirs = whole.store.read_profiles(keys), parts.store.read_profiles(keys)
    for key in keys:
        assert theirs[key].num_events == mine[key].num_events
        assert theirs[key].merged_into == mine[key].merged_into
        assert set(theirs[key].item_ids) == set(mine[key].item_ids)
        np.testing.assert_allclose(theirs[key].totals_HB, mine[key].totals_HB, rtol=1e-12)
    places = ["partition", "offset"]
    assert parts.log.read(columns=places).sort_by("offset").num_rows == whole.log.read(columns=places).num_rows


def test_records_that_are_delivered_again_change_neither_counts_nor_log() -> None:
    parts = Partitioned()
    plant(parts, random.Random(3), with_forgets=False)
    stream = parts.start()
    nothing, everything = dict.fromkeys(parts.records, 0), dict.fromkeys(parts.records, 100)
    parts.step(stream, nothing, dict.fromkeys(parts.records, 9))
    before, num_logged, num_rejected = stream.progress, parts.log.read().num_rows, rejected(parts)
    parts.step(stream, nothing, dict.fromkeys(parts.records, 9))
    assert (stream.progress, parts.log.read().num_rows, rejected(parts)) == (before, num_logged, num_rejected)
    parts.step(stream, nothing, everything)
    once = Partitioned()
    plant(once, random.Random(3), with_forgets=False)
    other = once.start()
    once.step(other, nothing, everything)
    assert stream.progress.counts == other.progress.counts
    assert rejected(parts) == rejected(once) == 1


def rejected(parts: Partitioned) -> int:
    return len(parts.producer.records(parts.settings.kafka.rejected))


@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_a_batch_that_asks_to_forget_is_taken_as_a_whole(seed: int) -> None:
    parts = Partitioned()
    plant(parts, random.Random(seed), with_forgets=True)
    stream = run_out(parts, random.Random(seed + 1), parts.step, crash_share=0.3)
    for key, profile in parts.store.read_profiles(parts.store.user_keys()).items():
        until_s = parts.forgotten.forgotten_s([key]).get(key, -np.inf)
        assert np.all(profile.recent_known_times_L > until_s)
    assert stream.progress.num_forgotten == parts.forgotten.num_forgotten()
