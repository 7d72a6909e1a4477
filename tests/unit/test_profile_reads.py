"""No store holds a request: it waits for a bounded time, passes by what is away, and comes back when that does."""

import threading
from collections.abc import Callable, Iterable, Iterator

import pytest

from mmrec.collecting.overlay import MemoryOverlay, OverlayEntry
from mmrec.errors import IncompatibleStateError, StoreError, UnreachableError
from mmrec.features.stores import MemoryFeatureStore
from mmrec.scoring.behaviors import shop_behaviors
from mmrec.scoring.profile import UserProfile
from mmrec.scoring.settings import ScoringConfig
from mmrec.scoring.source import Source
from mmrec.serving.profile_reads import OpenedReads, ProfileReads

SCORING = ScoringConfig(behaviors=shop_behaviors())
NOW_S = 1_760_000_000.0
SHORT_S = 0.02
Reads = Callable[..., ProfileReads]


class Gate:
    """A store in memory behind a gate that can be shut: calls then wait until it opens, or fail."""

    def __init__(self) -> None:
        self.overlay, self.store = MemoryOverlay(), MemoryFeatureStore()
        self.overlay.add(
            [OverlayEntry("ann", Source("c", "t", 0), 1, "cart", "i1", "e1", NOW_S, NOW_S, NOW_S)],
        )
        self.open = threading.Event()
        self.open.set()
        self.overlay_fails = self.store_fails = False
        self.num_overlay_reads = self.num_store_reads = 0

    def read(self, user_keys: Iterable[str]) -> dict[str, list[OverlayEntry]]:
        self.num_overlay_reads += 1
        if self.overlay_fails:
            raise StoreError("the overlay failed")
        return self.overlay.read(user_keys)

    def read_profiles(self, user_keys: Iterable[str]) -> dict[str, UserProfile]:
        self.num_store_reads += 1
        self.open.wait(60)
        if self.store_fails:
            raise StoreError("the store failed")
        return self.store.read_profiles(user_keys)


@pytest.fixture
def gate() -> Iterator[Gate]:
    made = Gate()
    yield made
    made.open.set()


@pytest.fixture
def reads(gate: Gate) -> Iterator[ProfileReads]:
    made = ProfileReads(overlay=gate, read_profiles=gate.read_profiles, config=lambda: SCORING)
    yield made
    gate.open.set()
    made.close()


def wait_for(condition: Callable[[], bool]) -> None:
    waiting = threading.Event()
    for _ in range(2_000):
        if condition():
            return
        waiting.wait(0.01)
    raise AssertionError("it did not come about")


def test_a_read_gives_the_profile_with_the_events_of_the_overlay(reads: ProfileReads) -> None:
    found = reads.read("ann")
    assert found.profile is not None
    assert found.profile.item_ids == ("i1",)
    assert found.overlay_available
    assert reads.read("nobody").profile is None
    assert set(reads.figures().values()) == {0}


def test_a_request_gives_up_after_its_own_time_and_later_ones_read_again(reads: ProfileReads, gate: Gate) -> None:
    gate.open.clear()
    with pytest.raises(UnreachableError, match=r"did not come within 0\.020 s"):
        reads.read("ann", within_s=SHORT_S)
    assert reads.figures()["num_reads_given_up"] == 1
    gate.open.set()
    wait_for(lambda: not reads.figures()["profiles_away"] and reads.read("ann").profile is not None)


def test_a_read_that_was_given_up_before_its_turn_is_not_made(reads: ProfileReads, gate: Gate) -> None:
    gate.open.clear()
    for _ in range(5):
        with pytest.raises(UnreachableError):
            reads.read("ann", within_s=SHORT_S)
    assert gate.num_store_reads == 1


def test_while_the_thread_is_stuck_requests_pass_by_without_waiting(gate: Gate) -> None:
    now_s = [0.0]
    reads = ProfileReads(overlay=None, read_profiles=gate.read_profiles, config=lambda: SCORING, timer=lambda: now_s[0])
    gate.open.clear()
    with pytest.raises(UnreachableError, match="did not come"):
        reads.read("ann", within_s=SHORT_S)
    wait_for(lambda: gate.num_store_reads == 1)
    now_s[0] = 10.0
    with pytest.raises(UnreachableError, match="was not read: the stores have not answered"):
        reads.read("ann", within_s=60.0)
    gate.open.set()
    reads.close()


def test_a_store_that_failed_is_passed_by_until_the_thread_finds_it_back(reads: ProfileReads, gate: Gate) -> None:
    gate.store_fails = True
    with pytest.raises(StoreError, match="the store failed"):
        reads.read("ann")
    with pytest.raises(UnreachableError, match="the store failed"):
        reads.read("ann")
    assert reads.figures()["profiles_away"] == 1
    assert reads.figures()["num_reads_passed_by"] == 1
    wait_for(lambda: gate.num_store_reads >= 3)  # the thread asks, though nobody requests
    assert reads.figures()["profiles_away"] == 1
    gate.store_fails = False
    wait_for(lambda: reads.figures()["profiles_away"] == 0)
    assert reads.read("ann").profile is not None


def test_an_overlay_that_failed_costs_its_events_and_no_profile(reads: ProfileReads, gate: Gate) -> None:
    gate.overlay_fails = True
    assert not reads.read("ann").overlay_available
    before = gate.num_overlay_reads
    found = reads.read("ann")
    assert not found.overlay_available
    assert found.profile is None
    gate.overlay_fails = False
    wait_for(lambda: reads.figures()["overlay_away"] == 0)
    assert gate.num_overlay_reads > before
    assert reads.read("ann").profile is not None


def test_an_error_that_nobody_meant_reaches_the_request_and_ends_no_thread() -> None:
    def read_profiles(user_keys: Iterable[str]) -> dict[str, UserProfile]:
        raise RuntimeError(f"broken for {sorted(user_keys)}")

    reads = ProfileReads(overlay=None, read_profiles=read_profiles, config=lambda: SCORING)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="broken for"):
            reads.read("ann")
    reads.close()


def test_files_of_this_machine_are_read_where_the_request_is() -> None:
    readers: list[str] = []

    def read_profiles(user_keys):
        readers.append(threading.current_thread().name)
        return {}

    reads = ProfileReads(overlay=None, read_profiles=read_profiles, config=lambda: SCORING, in_thread=False)
    reads.read("ann")
    reads.close()
    assert readers == [threading.current_thread().name]


class Opening:
    """Opens a store; fails as often as it is told."""

    def __init__(self, *failures: StoreError) -> None:
        self.failures, self.num_opened = list(failures), 0

    def __call__(self) -> MemoryFeatureStore:
        if self.failures:
            raise self.failures.pop(0)
        self.num_opened += 1
        return MemoryFeatureStore()


def test_a_store_that_is_away_at_the_start_is_opened_once_by_the_first_read_that_finds_it() -> None:
    opening = Opening(StoreError("away"), StoreError("still away"))
    reads = OpenedReads(opening)
    with pytest.raises(StoreError, match="still away"):
        reads(["ann"])
    assert reads(["ann"]) == {}
    assert reads(["ann"]) == {}
    assert opening.num_opened == 1


def test_a_store_that_does_not_fit_the_code_refuses_the_start() -> None:
    with pytest.raises(IncompatibleStateError):
        OpenedReads(Opening(IncompatibleStateError("other rates")))
