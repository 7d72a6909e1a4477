"""Whose an anonymous event is: a function of what was known when, wherever batches end and whoever is read first."""

import random
from collections import defaultdict
from collections.abc import Collection, Iterator
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmrec.scoring.together import MAX_RUNS, Link, LoginHistory, all_linked, one_person, user_by
from tests.unit.test_partition_stream import Partitioned
from tests.unit.test_replay_logins import FIRST, KEYS, Items, held, login, owned, rebuilt, shared_devices
from tests.unit.test_stream import NOW_S, Deployment, event
from tests.unit.test_stream_control import Fragile, guest_event, run_out

Records = dict[tuple[str, int], list[tuple[bytes, bytes]]]


def family_tablet(partition: int) -> Records:
    """Ann logs in on tablet g0, then Bob does and puts something into the cart; his own phone is g1."""
    user, guest = FIRST, ("behavior-events", partition)
    records: Records = defaultdict(list)
    for place, record in [
        (guest, guest_event(0, "g0", "before-anybody", 90.0)),
        (user, login(1, "u0", "g0")),
        (guest, guest_event(2, "g0", "anns", 80.0)),
        (user, event(3, "u1", item="bobs-own", age_s=70.0)),
        (guest, guest_event(4, "g1", "bobs-phone", 60.0)),
        (user, login(5, "u1", "g1")),
        (user, login(6, "u1", "g0")),
        (guest, guest_event(7, "g0", "bobs-cart", 50.0)),
        (user, login(8, "u1", "g0")),
        (guest, guest_event(9, "g0", "bobs-too", 40.0)),
        (user, login(10, "u0", "g0")),
        (guest, guest_event(11, "g0", "anns-again", 30.0)),
    ]:
        records[place].append(record)
        for other in {user, guest} - {place}:  # the time of a record is its place, see Deployment.rows
            records[other].append(event(100 + len(records[other]), "somebody", item="else", age_s=1.0))
    return records


BY_KNOWN_TIME = {
    "u0": {"before-anybody", "anns", "anns-again"},
    "u1": {"bobs-own", "bobs-phone", "bobs-cart", "bobs-too"},
}


def cuts(records: Records) -> Iterator[dict[tuple[str, int], int]]:
    """Everywhere a first batch can end, in each partition."""
    for ends in product(*(range(len(mine) + 1) for mine in records.values())):
        yield dict(zip(records, ends, strict=True))


def in_two(deployment: Deployment, sizes: dict[tuple[str, int], int]) -> Items:
    """Items of users and guests after two batches, the first one of these sizes."""
    stream = deployment.start()
    for number in (sizes, dict.fromkeys(sizes, 1_000)):
        starts = deployment.starts(stream)
        if isinstance(deployment, Partitioned):
            deployment.step(stream, starts, number)
        else:
            stream.process(deployment.batch(starts, number), write_time_s=NOW_S)
    return held(deployment.store.read_profiles(KEYS))


@pytest.mark.parametrize("kind", [Deployment, Partitioned])
@pytest.mark.parametrize("partition", [0, 1])
def test_a_cart_after_a_login_is_that_users_wherever_two_batches_meet(kind: type[Deployment], partition: int) -> None:
    every = list(cuts(family_tablet(partition)))
    for sizes in every if kind is Deployment else every[::5]:
        deployment = kind()
        deployment.records.update(family_tablet(partition))
        assert in_two(deployment, sizes) == BY_KNOWN_TIME, sizes
    assert rebuilt(deployment) == BY_KNOWN_TIME


@settings(max_examples=6, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    crash_share=st.sampled_from([0.0, 0.4]),
    largest=st.sampled_from([1, 3, 20]),
    in_parts=st.booleans(),
)
def test_any_two_ways_of_cutting_batches_give_the_same_profiles(
    seed: int, crash_share: float, largest: int, in_parts: bool
) -> None:
    one, other = Deployment(), Partitioned() if in_parts else Fragile()
    for deployment in (one, other):
        deployment.records.update(shared_devices(random.Random(seed)))
    stream = one.start()
    stream.process(one.batch(one.starts(stream), dict.fromkeys(one.records, 1_000)), write_time_s=NOW_S)
    at_once = held(one.store.read_profiles(KEYS))
    shuffle = random.Random(seed + 1)
    if in_parts:
        from tests.unit.test_partition_stream import run_out as run_out_in_parts

        run_out_in_parts(other, shuffle, other.step, crash_share=crash_share)
    else:
        run_out(other, shuffle, crash_share=crash_share, largest=largest)
    assert held(other.store.read_profiles(KEYS)) == at_once == owned(one.log)
    assert rebuilt(other) == rebuilt(one) == at_once


LINKS = [("ann", "~phone"), ("ann", "~tablet"), ("bob", "~tablet"), ("bob", "~car"), ("eve", "~desk")]


def linked(keys: Collection[str]) -> Iterator[Link]:
    return (link for link in LINKS if set(link) & set(keys))


def test_one_person_is_a_user_with_all_guests_and_a_guest_with_its_owner_and_theirs() -> None:
    assert one_person("ann", linked) == ["~phone", "~tablet", "ann"]
    assert one_person("~tablet", linked, owner="bob") == ["~car", "bob", "~tablet"]
    assert one_person("~tablet", linked, owner="ann") == ["~phone", "ann", "~tablet"]
    assert one_person("~tablet", linked) == ["~tablet"]
    assert one_person("nobody", linked) == ["nobody"]
    assert all_linked(["ann"], linked) == {"ann", "bob", "~phone", "~tablet", "~car"}
    assert all_linked([], linked) == set()


@pytest.mark.parametrize("wide", [False, True])
def test_links_may_be_more_than_were_asked_for(wide: bool) -> None:
    def all_links(keys: Collection[str]) -> Collection[Link]:
        return LINKS if wide else list(linked(keys))

    for key in ("ann", "bob", "eve", "~phone", "~tablet", "~car"):
        owner = "bob" if key.startswith("~") else None
        assert one_person(key, all_links, owner=owner) == one_person(key, linked, owner=owner)


HISTORY = st.lists(st.tuples(st.integers(0, 12).map(float), st.sampled_from(["ann", "bob", "eve"])), min_size=1)


@settings(max_examples=200, deadline=None)
@given(logins=HISTORY, known_s=st.floats(-1.0, 13.0), shuffle=st.randoms(use_true_random=False))
def test_a_history_names_the_newest_login_known_by_then_else_the_first(logins, known_s, shuffle) -> None:
    ordered = sorted(logins)
    before = [user for time_s, user in ordered if time_s <= known_s]
    shuffle.shuffle(logins)
    history = LoginHistory.of(logins)
    assert history.owner_at(known_s) == (before[-1] if before else ordered[0][1])
    strictly = [user for time_s, user in ordered if time_s < known_s]
    assert history.owner_before(known_s) == (strictly[-1] if strictly else None)
    assert all(a != b for a, b in zip(history.users, history.users[1:], strict=False))
    assert all(history.holds(login) for login in logins)
    assert history.newest == ordered[-1]
    assert LoginHistory.of([*logins, *logins]) == history


@settings(max_examples=200, deadline=None)
@given(kept=HISTORY, more=HISTORY | st.just([]), until_s=st.floats(-1.0, 13.0))
def test_an_ids_user_by_an_instant_is_that_of_the_newest_login_up_to_it(kept, more, until_s) -> None:
    kept, more = sorted(kept), [(time_s + 12.0, user) for time_s, user in more]  # the stub lacks newer ones alone
    before = [user for time_s, user in sorted([*kept, *more]) if time_s <= until_s]
    assert user_by(None, [*more, *kept], until_s=until_s) == (before[-1] if before else None)
    if kept[-1] <= min(more, default=kept[-1]):
        assert user_by(LoginHistory.of(kept), more, until_s=until_s) == (before[-1] if before else None)
    assert user_by(None, []) is None


def test_a_history_keeps_its_first_run_and_the_newest_and_takes_no_login_from_between() -> None:
    history = LoginHistory.of([(float(n), f"u{n % 2}") for n in range(MAX_RUNS + 10)])
    assert len(history.users) == MAX_RUNS
    assert history.owner_at(0.0) == "u0"
    assert history.owner_at(MAX_RUNS + 9.0) == history.owner == f"u{(MAX_RUNS + 9) % 2}"
    with pytest.raises(ValueError, match="comes before"):
        history.with_newest((3.5, "u1"))
