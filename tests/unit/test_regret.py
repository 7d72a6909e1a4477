"""Regret to known preferences: 0 for the oracle, what chance gives for random lists, told in the report."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mmrec.evaluation.candidates import FULL
from mmrec.evaluation.interactions import FloatArray, IntArray
from mmrec.evaluation.judging import judge
from mmrec.evaluation.measure import mean_of
from mmrec.evaluation.regret import ListWorth
from mmrec.experiments.data_sets import simulated
from mmrec.experiments.run import RunOptions, evaluate
from mmrec.reports.evaluation_report import evaluation_markdown
from mmrec.simulator.settings import StorefrontConfig
from mmrec.zoo.registry import model_named
from tests.contract.test_zoo import asked, fitted, planted_world
from tests.unit.test_measure import Planted, targets_for

NUM_USERS, NUM_ITEMS = 40, 25


class Known:
    """Preferences that a test gives: a row per user."""

    def __init__(self, preferences_UI: FloatArray) -> None:
        self._preferences_UI = preferences_UI

    def of(self, users_N: IntArray, as_of_N: FloatArray) -> FloatArray:
        return self._preferences_UI[users_N]


def drawn_preferences(seed: int = 1) -> FloatArray:
    return np.random.default_rng(seed).dirichlet(np.full(NUM_ITEMS, 0.3), NUM_USERS)


def test_the_oracle_misses_nothing_and_lists_that_nobody_wants_miss_all() -> None:
    preferences_UI = drawn_preferences()
    preferences_UI[:, 20:] = 0.0
    targets = targets_for([{0: 1.0}] * NUM_USERS)
    worth = ListWorth.of(Known(preferences_UI), targets, seen="any", length=5)
    lists = judge(Planted(preferences_UI), targets, seed=1)[FULL, "any"].lists_NK
    assert lists is not None
    assert worth.regrets(lists) == pytest.approx(np.zeros(NUM_USERS), abs=1e-6)
    unwanted = np.tile(np.arange(20, 25), (NUM_USERS, 1))
    assert worth.regrets(unwanted) == pytest.approx(np.ones(NUM_USERS))
    assert worth.regrets(np.full((NUM_USERS, 5), -1)) == pytest.approx(np.ones(NUM_USERS))


def test_random_lists_miss_what_chance_says() -> None:
    preferences_UI = drawn_preferences()
    targets = targets_for([{0: 1.0}] * NUM_USERS)
    worth = ListWorth.of(Known(preferences_UI), targets, seen="any", length=5)
    generator = np.random.default_rng(2)
    found = [
        mean_of(worth.regrets(np.stack([generator.permutation(NUM_ITEMS)[:5] for _ in range(NUM_USERS)])))
        for _ in range(100)
    ]
    best_U = np.sort(preferences_UI, axis=1)[:, -5:].sum(axis=1)
    assert np.mean(found) == pytest.approx(1.0 - np.mean(5 / NUM_ITEMS / best_U), abs=0.02)


def test_an_item_counts_once_and_those_of_the_history_not_where_only_new_ones_do() -> None:
    preferences_UI = np.array([[0.5, 0.3, 0.1, 0.1]])
    targets = targets_for([{3: 1.0}], seen=[[0]])
    lists = np.array([[1, 1, 0]])
    of_any = ListWorth.of(Known(preferences_UI), targets, seen="any", length=3)
    assert of_any.regrets(lists)[0] == pytest.approx(1.0 - 0.8 / 0.9)
    of_new = ListWorth.of(Known(preferences_UI), targets, seen="new", length=3)
    assert of_new.regrets(lists)[0] == pytest.approx(1.0 - 0.3 / 0.5)


def test_more_targets_than_are_judged_are_drawn_and_users_who_want_nothing_are_not_judged() -> None:
    preferences_UI = drawn_preferences()
    preferences_UI[:] = np.where(np.arange(NUM_USERS)[:, None] < 10, 0.0, preferences_UI)
    targets = targets_for([{0: 1.0}] * NUM_USERS)
    worth = ListWorth.of(Known(preferences_UI), targets, seen="any", length=5, max_judged=20)
    regrets = worth.regrets(np.tile(np.arange(5), (NUM_USERS, 1)))
    assert np.isnan(regrets[:10]).all() and 10 <= np.isfinite(regrets).sum() <= 20
    again = ListWorth.of(Known(preferences_UI), targets, seen="any", length=5, max_judged=20)
    assert (worth.judged_J == again.judged_J).all()


def test_random_order_is_judged_by_the_port_as_random_lists_are() -> None:
    data = planted_world()
    users_N, histories = asked(data, list(range(60)))
    targets = replace(targets_for([{0: 1.0}] * 60), users_N=users_N, histories=histories)
    parity = np.arange(40)[None, :] % 2 == np.arange(60)[:, None] % 2
    worth = ListWorth.of(Known(parity / 20.0), targets, seen="any")
    lists = judge(fitted(model_named("random"), data), targets, seed=1)[FULL, "any"].lists_NK
    assert lists is not None
    assert mean_of(worth.regrets(lists)) == pytest.approx(0.5, abs=0.06), "half of all items are of one's parity"


def test_the_report_of_the_simulator_tells_regret_and_what_content_is_worth(tmp_path: Path) -> None:
    config = StorefrontConfig(
        seed=7, num_users=150, num_items=200, days=30.0, events_per_user_day=0.6, share_bots=0.0, share_duplicates=0.0
    )
    found = simulated(config, num_events=2_400)
    options = RunOptions(protocol="time_full", models=("random", "item_knn", "content_likeness"), num_trials=1)
    report = evaluate(found, options, out=tmp_path)
    regret = {name: model["regret_at_10"]["refit"]["mean"] for name, model in report["models"].items()}
    assert 0.0 < regret["item_knn"] < regret["random"] < 1.0
    low, high = report["models"]["item_knn"]["regret_at_10"]["refit"]["interval"]
    assert low <= regret["item_knn"] <= high
    assert report["cold"]["with_content"] == "content_likeness" and report["cold"]["without_content"] != "random"
    text = evaluation_markdown(report)
    assert "## Regret of lists of ten to the best list" in text and "## HR@10 among cold items" in text
    without = evaluate(replace(found, truth=None), options, out=tmp_path)
    assert "regret_at_10" not in without["models"]["random"]
