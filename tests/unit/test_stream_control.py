"""Laws of logins, forgetting and caps in the stream, crashes between any two writes included, on stores in memory."""

import json
import random
from collections import defaultdict
from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mmrec.events.control import forget_event, identify_event
from mmrec.events.encoding import encode_event
from mmrec.events.rejected import decode_rejected
from mmrec.features.stores import MemoryFeatureStore
from mmrec.scoring.identity import MAX_MERGED_FROM
from mmrec.scoring.plain_sum import LedgerEvent, plain_sum, relative_errors
from mmrec.stream.status import NUM_STEPS, RecentSteps
from mmrec.stream.step import ScoringStream
from tests.unit.test_stream import NOW_S, SETTINGS, CrashError, Deployment, event

WRITES = ("forget_all", "append", "send_many", "delete_profiles", "write_profiles")


class Fragile(Deployment):
    """A deployment whose process ends before the write named by `crash_at`."""

    def __init__(self) -> None:
        super().__init__()
        self.crash_at = ""
        for engine in (self.forgotten, self.log, self.producer, self.store):
            for name in WRITES:
                if hasattr(engine, name):
                    setattr(engine, name, self._watched(name, getattr(engine, name)))

    def _watched(self, name, write):
        def watched(*values, **arguments):
            if self.crash_at == name:
                raise CrashError
            return write(*values, **arguments)

        return watched

    def start(self) -> ScoringStream:
        self.crash_at = ""
        return super().start()


def run_out(deployment: Fragile, shuffle: random.Random, *, crash_share: float, largest: int = 100) -> ScoringStream:
    """Process everything, in batches of any size, with crashes before any write."""
    stream = deployment.start()
    for _ in range(10_000):
        starts = deployment.starts(stream)
        left = {place: len(deployment.records[place]) - start for place, start in starts.items()}
        if not any(left.values()):
            return stream
        sizes = {place: shuffle.randint(0, min(number, largest)) for place, number in left.items()}
        deployment.crash_at = shuffle.choice(WRITES) if shuffle.random() < crash_share else ""
        try:
            stream.process(deployment.batch(starts, sizes), write_time_s=NOW_S)
        except CrashError:
            stream = deployment.start()
    raise AssertionError("does not come to an end")


def guest_event(number: int, guest: str, item: str, age_s: float) -> tuple[bytes, bytes]:
    _, value = event(number, "x", item=item, age_s=age_s)
    fields = json.loads(value)
    del fields["user_id"]
    return guest.encode(), json.dumps({**fields, "anonymous_id": guest}).encode()


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), crash_share=st.sampled_from([0.0, 0.4]))
@example(seed=4330, crash_share=0.4)  # a request is read again after the user has logged in
@example(seed=20161, crash_share=0.4)  # and a later request in that batch, too
@example(seed=20416, crash_share=0.4)  # two requests in a batch, a guest's event in between
def test_logins_and_forgetting_give_the_plain_sum_of_what_is_left(seed: int, crash_share: float) -> None:
    shuffle = random.Random(seed)
    deployment = Fragile()
    records = deployment.records
    ledger: list[tuple[str, float, LedgerEvent]] = []
    logins: list[tuple[str, str, float]] = []
    forgets: list[tuple[str, float]] = []
    for number in range(40):
        user, guest = f"u{shuffle.randrange(3)}", f"g{shuffle.randrange(2)}"
        # Guests are in the other partition; the time of a record is its place (see Deployment.batch).
        mine, theirs = ("behavior-events", 0), ("behavior-events", 1)
        kind = shuffle.random()
        if kind < 0.08 and all(name != guest for _, name, _ in logins):
            logins.append((user, guest, NOW_S + len(records[mine])))
            records[mine].append(encode_event(identify_event(event_id=f"l{number}", user_id=user, anonymous_id=guest)))
        elif kind < 0.14:
            forgets.append((user, NOW_S + len(records[mine])))
            records[mine].append(encode_event(forget_event(event_id=f"f{number}", user_id=user)))
        else:
            by_guest = shuffle.random() < 0.4
            place, key = (theirs, f"~{guest}") if by_guest else (mine, user)
            known_s, item = NOW_S + len(records[place]), f"i{number % 4}"
            age_s = float(number * 1000 + 1)
            records[place].append(
                guest_event(number, guest, item, age_s) if by_guest else event(number, user, item=item, age_s=age_s)
            )
            entry = LedgerEvent(
                event_id=f"e{number}", user_key=key, item_id=item, behavior="cart", event_time_s=NOW_S - age_s
            )
            ledger.append((key, known_s, entry))
    run_out(deployment, shuffle, crash_share=crash_share)

    until_s: dict[str, float] = defaultdict(lambda: -1.0)
    for user, asked_s in forgets:  # a login that was forgotten before binds nobody any more
        guests = [
            f"~{guest}" for owner, guest, known_s in logins if owner == user and until_s[user] < known_s <= asked_s
        ]
        for key in (user, *guests):
            until_s[key] = max(until_s[key], asked_s)
    owner_of = {f"~{guest}": user for user, guest, known_s in logins if known_s > until_s[user]}
    left = [replace(entry, user_key=owner_of.get(key, key)) for key, known_s, entry in ledger if known_s > until_s[key]]
    expected: dict[str, dict[str, float]] = defaultdict(dict)
    for (key, item), score in plain_sum(
        left, behaviors=SETTINGS.behaviors, decay_per_day=0.05, as_of_s=NOW_S + 100
    ).items():
        expected[key][item] = score
    stored = deployment.store.read_profiles(deployment.store.user_keys())
    assert {key for key, profile in stored.items() if profile.num_events} == set(expected)
    for key, scores in expected.items():
        errors = relative_errors(
            stored[key], scores, behaviors=SETTINGS.behaviors, decay_per_day=0.05, as_of_s=NOW_S + 100
        )
        assert max(errors.values()) < 1e-9
        assert stored[key].num_events == sum(entry.user_key == key for entry in left)
    # A store that is lost has the same numbers again from the log and the registry.
    again = Fragile()
    again.log, again.forgotten = deployment.log, deployment.forgotten
    again.start()
    for key in expected:
        rebuilt = again.store.read_profiles([key])[key]
        assert rebuilt.num_events == stored[key].num_events


def capped(deployment: Deployment, **rules: float) -> None:
    deployment.settings = replace(SETTINGS, scoring=replace(SETTINGS.scoring, **rules))


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_what_is_over_the_cap_is_on_the_rejected_topic_whatever_crashes(seed: int) -> None:
    shuffle = random.Random(seed)
    calm, shaken = Fragile(), Fragile()
    sent = [event(n if shuffle.random() < 0.8 else n // 2, f"u{shuffle.randrange(2)}") for n in range(60)]
    for deployment, share in ((calm, 0.0), (shaken, 0.4)):
        capped(deployment, cap_events=4, cap_window_s=20.0, bot_windows=2, bot_quiet_s=15.0)
        deployment.records["behavior-events", 0] = sent
        run_out(deployment, random.Random(seed + 1), crash_share=share)
    counts = [d.store.read_progress().counts.document() for d in (calm, shaken)]
    assert counts[0]["accepted"] == counts[1]["accepted"] == calm.log.read().num_rows == shaken.log.read().num_rows
    assert sum(counts[0].values()) == sum(counts[1].values()) == len(sent)
    refused = [
        {(row["partition"], row["offset"]) for row in refusals(deployment) if row["reason"] in {"rate_capped", "bot"}}
        for deployment in (calm, shaken)
    ]
    # One that was refused, came again and was accepted may be taken for a duplicate after a crash.
    ids_once_accepted = set(shaken.log.read()["event_id"].to_pylist())
    assert refused[1] <= refused[0]
    assert all(json.loads(sent[n][1])["event_id"] in ids_once_accepted for _, n in refused[0] - refused[1])
    assert counts[0].get("capped", 0) + counts[0].get("bot", 0) == len(refused[0])


def refusals(deployment: Deployment) -> list[dict]:
    return [decode_rejected(r.value) for r in deployment.producer.records(SETTINGS.kafka.rejected)]


def test_a_refused_event_decodes_to_the_same_row_when_it_is_sent_again() -> None:
    deployment = Fragile()
    capped(deployment, cap_events=1)
    _, value = event(2, "ann", age_s=90.5)
    full = {**json.loads(value), "context": {"a": "é"}, "price": 2.5, "position": 3, "request_id": "r"}
    deployment.records["behavior-events", 0] = [event(1, "ann"), (b"ann", json.dumps(full).encode())]
    run_out(deployment, random.Random(1), crash_share=0.0)
    (refused,) = refusals(deployment)
    assert refused["reason"] == "rate_capped"
    first = deployment.batch({("behavior-events", 0): 1}, {("behavior-events", 0): 1}).events
    deployment.records["behavior-events", 0][1] = (refused["original_key"], refused["original_value"])
    assert deployment.batch({("behavior-events", 0): 1}, {("behavior-events", 0): 1}).events.equals(first)


def test_every_login_is_in_the_log_and_the_same_login_again_changes_no_events_owner() -> None:
    deployment = Fragile()
    login = encode_event(identify_event(event_id="l1", user_id="ann", anonymous_id="g"))
    deployment.records["behavior-events", 0] = [
        guest_event(1, "g", "i1", 5.0),
        login,
        login,
        guest_event(2, "g", "i2", 1.0),
    ]
    stream = run_out(deployment, random.Random(1), crash_share=0.0, largest=1)
    assert stream.progress.counts.document() == {"accepted": 2, "identified": 2}
    assert deployment.log.read()["behavior"].to_pylist() == ["cart", "mmrec.identify", "mmrec.identify", "cart"]
    profiles = deployment.store.read_profiles(["ann", "~g"])
    assert profiles["ann"].num_events == 2
    assert profiles["~g"].merged_into == "ann"


def test_a_store_that_missed_a_request_to_forget_is_swept_and_those_who_came_back_keep_what_is_later() -> None:
    deployment = Fragile()
    deployment.records["behavior-events", 0] = [event(1, "ann"), event(2, "bob"), event(3, "ann")]
    stream = run_out(deployment, random.Random(1), crash_share=0.0)
    deployment.forgotten.forget("ann", known_time_s=NOW_S + 1)
    deployment.forgotten.forget("bob", known_time_s=NOW_S + 1)
    deployment.start()
    assert deployment.recovery.num_swept == 2
    assert {k: p.num_events for k, p in deployment.store.read_profiles(["ann", "bob"]).items()} == {"ann": 1}
    again = deployment.start()
    assert deployment.recovery.num_swept == 0
    assert again.progress.counts == stream.progress.counts


@pytest.mark.parametrize("crash_at", WRITES)
def test_forgetting_is_finished_by_the_next_start_wherever_it_broke_off(crash_at: str) -> None:
    deployment = Fragile()
    place = "behavior-events", 0
    deployment.records[place] = [event(1, "ann"), event(2, "bob")]
    run_out(deployment, random.Random(1), crash_share=0.0)
    deployment.records[place] += [
        event(3, "ann"),
        (b"ann", b"{"),
        encode_event(forget_event(event_id="f", user_id="ann")),
        event(4, "ann"),
    ]
    stream = deployment.start()
    deployment.crash_at = crash_at
    with pytest.raises(CrashError):
        stream.process(deployment.batch({place: 2}, {place: 4}), write_time_s=NOW_S)
    stream = run_out(deployment, random.Random(2), crash_share=0.0)
    assert {k: p.num_events for k, p in deployment.store.read_profiles(["ann", "bob"]).items()} == {"ann": 1, "bob": 1}
    assert stream.progress.counts.document()["forgotten_users"] == 1
    assert deployment.store.read_profiles(["ann"])["ann"].recent_known_times_L.tolist() == [NOW_S + 5]
    assert isinstance(deployment.store, MemoryFeatureStore)


def test_recent_steps_speak_of_the_newest_batches_alone() -> None:
    deployment = Fragile()
    place = "behavior-events", 0
    deployment.records[place] = [event(1, "ann"), event(2, "ann")]
    batch = deployment.batch({place: 0}, {place: 2})
    recent = RecentSteps()
    assert recent.figures() == {"phases_s": {}, "phases_records": 0}
    recent.add(batch, phases_s={"apply": 100.0}, num_records=100, stored_time_s=NOW_S)
    for _ in range(NUM_STEPS):
        recent.add(batch, phases_s={"apply": 0.5, "log": 0.25}, num_records=2, stored_time_s=NOW_S + 3)
    figures = recent.figures()
    assert figures["phases_s"] == {"apply": 0.5 * NUM_STEPS, "log": 0.25 * NUM_STEPS}
    assert figures["phases_records"] == 2 * NUM_STEPS
    assert figures["ingest_to_stored_s"]["p50"] == pytest.approx(2.5)


class Portioned(MemoryFeatureStore):
    """A store that writes one profile after the other, progress last, and may fail in between, as Redis may."""

    def __init__(self) -> None:
        super().__init__()
        self.num_left = 1_000

    def write_profiles(self, profiles, *, write_time_s, progress=None) -> None:
        for key, profile in profiles.items():
            if not self.num_left:
                raise CrashError
            self.num_left -= 1
            super().write_profiles({key: profile}, write_time_s=write_time_s)
        if progress is not None:
            super().write_profiles({}, write_time_s=write_time_s, progress=progress)


@pytest.mark.parametrize("num_written", [0, 1, 2])
@pytest.mark.parametrize("user_place", [0, 1])
def test_a_login_that_is_half_written_counts_every_event_once(num_written: int, user_place: int) -> None:
    deployment = Deployment()
    deployment.store = Portioned()
    user, guest = ("behavior-events", user_place), ("behavior-events", 1 - user_place)
    deployment.records[guest].append(guest_event(0, "g", "i0", 5.0))
    deployment.records[user] = []
    stream = deployment.start()
    everything = {user: 9, guest: 9}
    stream.process(deployment.batch(deployment.starts(stream), everything), write_time_s=NOW_S)
    deployment.records[guest].append(guest_event(1, "g", "i1", 4.0))
    deployment.records[user].append(event(2, "u", item="i2", age_s=3.0))
    deployment.records[user].append(encode_event(identify_event(event_id="l", user_id="u", anonymous_id="g")))
    deployment.store.num_left = num_written
    if num_written < 2:
        with pytest.raises(CrashError):
            stream.process(deployment.batch(deployment.starts(stream), everything), write_time_s=NOW_S)
        deployment.store.num_left = 1_000
        stream = deployment.start()
    stream.process(deployment.batch(deployment.starts(stream), everything), write_time_s=NOW_S)
    stored = deployment.store.read_profiles(["u", "~g"])
    assert (stored["u"].num_events, sorted(stored["u"].item_ids)) == (3, ["i0", "i1", "i2"])
    assert (stored["~g"].merged_into, stored["~g"].num_events) == ("u", 0)
    assert stream.progress.counts.document()["identified"] == 1


def test_forgetting_a_user_takes_every_anonymous_profile_along_also_those_it_names_no_more() -> None:
    deployment = Deployment()
    place = ("behavior-events", 0)
    num_guests = MAX_MERGED_FROM + 3
    for number in range(num_guests):
        login = identify_event(event_id=f"l{number}", user_id="u", anonymous_id=f"g{number}")
        deployment.records[place].append(encode_event(login))
    stream = deployment.start()
    stream.process(deployment.batch(deployment.starts(stream), {place: 1_000}), write_time_s=NOW_S)
    assert len(list(deployment.store.user_keys())) == num_guests + 1
    deployment.records[place].append(encode_event(forget_event(event_id="f", user_id="u")))
    stream.process(deployment.batch(deployment.starts(stream), {place: 1_000}), write_time_s=NOW_S)
    assert list(deployment.store.user_keys()) == []
    assert len(deployment.forgotten.forgotten_s(f"~g{number}" for number in range(num_guests))) == num_guests
