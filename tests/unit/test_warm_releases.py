"""Releases that warm refits made: their origin, what they must match, and how few of them are kept."""

from dataclasses import replace
from pathlib import Path

import pytest

from mmrec.config import PublishSettings, Settings, parse_settings
from mmrec.errors import NotFoundError, PreconditionError, ReleaseGateError
from mmrec.home import StackHome
from mmrec.publishing.publish import let_serve, roll_back
from mmrec.publishing.release import check_gates
from mmrec.telemetry.metric_names import PROCESSES
from services.stack.configuration import StackPorts
from services.stack.plan import programs
from tests.serving_world import ServingWorld, serving_world
from tests.unit.test_release import Deployment, untrained


@pytest.fixture(scope="module")
def world() -> ServingWorld:
    return serving_world(num_users=10, num_items=20, days=3)


@pytest.fixture
def deployment(tmp_path: Path, world: ServingWorld) -> Deployment:
    return Deployment(tmp_path, world)


class Clock:
    """Minutes that pass between releases."""

    now_s = 1_000_000.0

    def later(self) -> float:
        self.now_s += 60.0
        return self.now_s


def whole(deployment: Deployment, clock: Clock) -> str:
    """A release that was trained from the start."""
    return deployment.publish(untrained(deployment.folder / "whole"), now_s=clock.later()).release_id


def warm(deployment: Deployment, clock: Clock, origin: str = "", **figures: float) -> str:
    """A refit of a release, else of the one that serves."""
    metrics = {"warm_from": origin or deployment.releases.current(), **figures}
    return deployment.publish(untrained(deployment.folder / "warm", metrics=metrics), now_s=clock.later()).release_id


def test_a_release_says_what_it_went_on_from(deployment: Deployment) -> None:
    clock = Clock()
    first = whole(deployment, clock)
    second = warm(deployment, clock)
    third = warm(deployment, clock)
    assert deployment.releases.read(first).warm_from == ""
    assert deployment.releases.warm() == {second: first, third: second}


def test_a_refit_must_match_what_serves_on_the_newest_lists(deployment: Deployment) -> None:
    clock = Clock()
    first = whole(deployment, clock)
    with pytest.raises(ReleaseGateError, match=r"ndcg_at_10 on the newest lists is 0.2000, at least 0.2940 is needed"):
        warm(deployment, clock, ndcg_at_10=0.2, ndcg_at_10_served=0.3)
    assert deployment.releases.current() == first
    assert "the release that serves has 0.3000" in next(iter(deployment.releases.refusals().values()))
    assert deployment.releases.current() != warm(deployment, clock, ndcg_at_10=0.295, ndcg_at_10_served=0.3) != first
    check_gates({"index_recall_at_100": 1.0, "ndcg_at_10": 0.1}, PublishSettings())


def test_a_refit_must_match_the_last_whole_training_too(deployment: Deployment) -> None:
    clock = Clock()
    first = whole(deployment, clock)
    second = warm(deployment, clock, ndcg_at_10=0.29, ndcg_at_10_served=0.29)
    assert deployment.releases.last_trained() == first != second == deployment.releases.current()
    with pytest.raises(ReleaseGateError, match=r"at least 0.3430 is needed \(the last whole training has 0.3500\)"):
        warm(deployment, clock, ndcg_at_10=0.29, ndcg_at_10_served=0.29, ndcg_at_10_trained=0.35)
    assert deployment.releases.current() == second


def test_where_nothing_served_there_is_no_whole_training(deployment: Deployment) -> None:
    assert deployment.releases.last_trained() == ""


def test_a_refit_of_a_release_that_no_longer_serves_is_refused(deployment: Deployment) -> None:
    clock = Clock()
    first = whole(deployment, clock)
    second = whole(deployment, clock)
    with pytest.raises(ReleaseGateError, match=f"went on from release '{first}', and {second} serves by now"):
        warm(deployment, clock, origin=first)
    assert deployment.releases.current() == second


def test_few_refits_are_kept_and_every_whole_training(deployment: Deployment) -> None:
    publish = PublishSettings(num_warm=2, num_collections=1)
    deployment.settings, clock = replace(deployment.settings, publish=publish), Clock()
    first = whole(deployment, clock)
    refits = [warm(deployment, clock) for _ in range(6)]
    # Older ones go before the next is written, so that there are two and the newest.
    assert deployment.releases.list() == (first, *refits[-3:])
    assert set(deployment.vectors.collections()) == {f"items_{each}" for each in (first, *refits[-2:])}
    roll_back(releases=deployment.releases, vectors=deployment.vectors)
    assert deployment.releases.current() == refits[-2]


def test_the_last_whole_training_can_serve_again_however_many_refits_came_after_it(deployment: Deployment) -> None:
    publish = PublishSettings(num_warm=1, num_collections=1)
    deployment.settings, clock = replace(deployment.settings, publish=publish), Clock()
    older, first = whole(deployment, clock), whole(deployment, clock)
    for _ in range(4):
        warm(deployment, clock)
    assert let_serve(first, releases=deployment.releases, vectors=deployment.vectors).release_id == first
    with pytest.raises(NotFoundError, match="was dropped"):
        let_serve(older, releases=deployment.releases, vectors=deployment.vectors)


def test_a_release_that_was_dropped_is_no_step_of_rolling_back(deployment: Deployment) -> None:
    clock = Clock()
    first, second, third = (whole(deployment, clock) for _ in range(3))
    deployment.releases.drop(second)
    assert deployment.releases.promoted() == (first, third)
    assert deployment.releases.rollback() == first


def test_a_release_that_serves_is_not_dropped(deployment: Deployment) -> None:
    first = whole(deployment, Clock())
    with pytest.raises(PreconditionError, match=f"release '{first}' serves; promote another one first"):
        deployment.releases.drop(first)


def planned(settings: Settings, folder: Path) -> list[str]:
    ports = StackPorts(
        kafka=1, milvus=2, ray=3, recommender=7, collector=8, admin=9, console=10, metrics=dict.fromkeys(PROCESSES, 9)
    )
    return [each.name for each in programs(settings, StackHome(folder=folder), ports, stack_id="0123456789")]


def test_the_stack_refits_where_the_configuration_says_how_often(tmp_path: Path) -> None:
    assert "refit" not in planned(Settings(), tmp_path)
    for minutes, is_planned in ((0, False), (10, True)):
        document = {"training": {"refit": {"every_minutes": minutes}}}
        settings = parse_settings(document, where="here", folder=tmp_path)
        assert ("refit" in planned(settings, tmp_path)) == is_planned
