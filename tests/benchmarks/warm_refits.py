"""What a warm refit costs and brings, beside a full training on the same events and beside doing nothing.

    python -m tests.benchmarks.warm_refits [--output FILE]

A small simulated shop. A release is trained on what was known DAYS before the end, days pass, and it is refitted on the
newest of them, or trained anew from the start. All three serve from the same instant on, with neighbors and counts of
that instant, as they would; judged is NDCG@10 of the served list by what each user did in the days after it, among
all items. Seconds are from the log to the model, examples included, with one thread. Writes results/warm_refits.json.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mmrec.config import Settings
from mmrec.evaluation.interactions import Float32Array, Histories, IntArray, Interactions, ItemFeatures
from mmrec.evaluation.intervals import clustered_interval
from mmrec.evaluation.judging import judge
from mmrec.evaluation.measure import per_target
from mmrec.evaluation.paired_tests import paired_p
from mmrec.evaluation.task import Targets, targets_of
from mmrec.experiments.data_sets import GRADES, simulated
from mmrec.models.bundle import ModelBundle
from mmrec.scoring.item_statistics import decay_rates
from mmrec.simulator.settings import StorefrontConfig
from mmrec.training.build import build_examples
from mmrec.training.event_columns import event_columns
from mmrec.training.item_history import ItemHistory, item_history
from mmrec.training.refit_recipe import RefitOptions
from mmrec.training.run import TrainInputs
from mmrec.training.warm_refit import refitted
from mmrec.zoo.served import by_serving
from mmrec.zoo.shipped import Replica, replica_of, shipped
from mmrec.zoo.shipped_options import ShippedOptions
from mmrec.zoo.shipped_world import asked, content_of, entries_of, event_log
from tests.benchmarks.receipt import write_receipt

DAYS = (9.0, 3.0)
"""Before the end: when the release was trained, and when it is refitted or trained anew."""
WINDOW_DAYS = 9.0
REFIT = RefitOptions(window_days=WINDOW_DAYS)
OPTIONS = ShippedOptions()
DAY_S = 86_400.0


class Asked:
    """A replica as the harness asks a model."""

    name = "served"

    def __init__(self, replica: Replica, num_items: int) -> None:
        self._replica, self._num_items = replica, num_items

    def fit(self, data: Interactions, items: ItemFeatures, *, seed: int) -> None:
        """It is trained already."""

    def score(self, users_N: IntArray, histories: Histories) -> Float32Array:
        """As a request for each target would be answered."""
        del users_N
        scoring = self._replica.settings.scoring
        requests = asked(histories, positions=False, num_items=self._num_items, scoring=scoring)
        pairs = zip(requests.profiles, requests.as_of_N.tolist(), strict=True)
        return np.stack([by_serving(self._replica, *each) for each in pairs]).astype(np.float32)


def timed(work: Callable[[], Any]) -> tuple[Any, float, float]:
    """(result, seconds, seconds of the processor)."""
    began_s, cpu_s = time.perf_counter(), time.process_time()
    found = work()
    return found, time.perf_counter() - began_s, time.process_time() - cpu_s


def warm(data: Interactions, items: ItemFeatures, served: ModelBundle, settings: Settings, *, seed: int) -> ModelBundle:
    """The release after a refit on the newest days."""
    entries = entries_of(items)
    log = event_log(data, settings.behaviors)
    built = build_examples(log, entries, settings=settings, config=replace(REFIT.example_config, seed=seed))
    inputs = TrainInputs(retrieval=built.retrieval, ranking=built.ranking, content=content_of(items), entries=entries)
    return refitted(
        inputs,
        served,
        warm_from="served",
        least_lists=REFIT.least_lists,
        settings=settings,
        config=REFIT.train_config(OPTIONS.train_config(seed=seed)),
        progress=lambda event, figures: None,
    ).bundle


def history_of(data: Interactions, items: ItemFeatures, settings: Settings) -> ItemHistory:
    """Counts of items by the end of some events."""
    columns = event_columns(
        event_log(data, settings.behaviors), behaviors=settings.behaviors, item_ids=entries_of(items)
    )
    return item_history(
        item_rows_E=columns.items_E,
        behavior_index_E=columns.behaviors_E,
        event_times_E=columns.event_times_E,
        known_times_E=columns.known_times_E,
        num_behaviors=len(settings.behaviors),
        decay_per_day_H=decay_rates(settings.statistics.half_lives_days),
    )


def ndcg(replica: Replica, num_items: int, targets: Targets) -> Any:
    """NDCG@10 per target of what a replica serves."""
    places = judge(Asked(replica, num_items), targets, seen=("any",), seed=1)["full", "any"]
    return per_target(places, targets, cuts=(10,))["ndcg_at_10"]


@dataclass(frozen=True, kw_only=True)
class Found:
    """Of one world."""

    costs: dict[str, float]
    ndcg_N: dict[str, Any]
    """Per target, of "stale", "warm" and "full"."""
    users: list[str]


def measured(seed: int) -> Found:
    """One world, three models."""
    world = simulated(StorefrontConfig(seed=seed, share_bots=0.0, share_duplicates=0.0), num_events=1_000_000)
    data, items, settings = world.data, world.items, OPTIONS.settings(world.data)
    trained_s, now_s = (data.end - days * DAY_S for days in DAYS)
    old, known = (data.take(data.times_E < until_s) for until_s in (trained_s, now_s))
    as_of_U = np.full(data.num_users, now_s)
    targets = targets_of(data, data.times_E >= now_s, as_of_U=as_of_U, weights=GRADES, seed=seed)
    stale = shipped(old, items, OPTIONS, with_lists=True, seed=seed).bundle
    refit, refit_s, refit_cpu_s = timed(lambda: warm(known, items, stale, settings, seed=seed))
    full, full_s, full_cpu_s = timed(lambda: shipped(known, items, OPTIONS, with_lists=True, seed=seed).bundle)
    history = history_of(known, items, settings)
    models = {"stale": stale, "warm": refit, "full": full}
    replicas = {name: replica_of(each, known, items, settings, item_history=history) for name, each in models.items()}
    return Found(
        costs={"warm_s": refit_s, "warm_cpu_s": refit_cpu_s, "full_s": full_s, "full_cpu_s": full_cpu_s},
        ndcg_N={name: ndcg(each, data.num_items, targets) for name, each in replicas.items()},
        users=[f"{seed} {user}" for user in targets.users_N.tolist()],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="of worlds and trainings")
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    found: list[Found] = []
    for seed in given.seeds:
        found.append(measured(seed))
        means = {name: round(float(values.mean()), 4) for name, values in found[-1].ndcg_N.items()}
        print(f"seed {seed}: {means} {found[-1].costs}", flush=True)
    samples: dict[str, list[float]] = {
        **{name: [round(each.costs[name], 1) for each in found] for name in found[0].costs},
        **{
            f"{name}_ndcg_at_10": [round(float(each.ndcg_N[name].mean()), 4) for each in found]
            for name in found[0].ndcg_N
        },
    }
    figures: dict[str, Any] = {name: round(float(np.mean(each)), 4) for name, each in samples.items()}
    users = [user for each in found for user in each.users]
    for name in ("stale", "full"):
        difference_N = np.concatenate([each.ndcg_N["warm"] - each.ndcg_N[name] for each in found])
        interval = clustered_interval(difference_N, users, seed=1)
        figures |= {
            f"warm_minus_{name}": round(interval.mean, 4),
            f"warm_minus_{name}_low": round(interval.low, 4),
            f"warm_minus_{name}_high": round(interval.high, 4),
            f"warm_minus_{name}_p": round(paired_p(difference_N, seed=1), 4),
        }
    figures["targets"] = len(users)
    print("\n".join(f"{name:28} {value}" for name, value in figures.items()))
    write_receipt("warm_refits", figures, samples, packages=("numpy", "torch", "lightgbm"), output=given.output)


if __name__ == "__main__":
    main()
