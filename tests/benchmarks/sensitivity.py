"""How much HR@5 and NDCG@5 depend on the decay rate and on each behavior's weight (METHODS M5).

    python -m tests.benchmarks.sensitivity          reads $MMREC_DATA_DIR, else ../shared/data; --output FILE

`ecomm_tianchi_multibehavior`, ten days: curves on the validation window (days 7 and 8, history days 1 to 6), one value
changed at a time, the neighbors left alone. The best validation NDCG@5 is chosen; then default and chosen are measured
once on the test window (days 9 and 10, history days 1 to 8). Intervals: 95 %, bootstrap over users; differences to the
default are paired. Writes tests/benchmarks/results/sensitivity.json.
"""

import argparse
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmrec.evaluation.intervals import clustered_interval
from mmrec.scoring.behaviors import shop_behaviors
from tests.benchmarks.logged_events import DATA_SET, DAY_S, Events, data_folder, read_log
from tests.benchmarks.receipt import write_receipt
from tests.benchmarks.sensitivity_model import Measured, affinity_matrix, cases_of, measure, neighbor_matrix
from tests.public_data import public_data

DEFAULT_RATE = 0.05
GRID: dict[str, tuple[float, ...]] = {
    "decay_per_day": (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5),
    "browse": (0.5, 0.75, 1.0, 1.5, 2.0),
    "favorite": (2.0, 2.5, 3.0, 4.0, 5.0),
    "cart": (4.0, 4.5, 5.0, 6.0, 7.0),
    "purchase": (9.0, 9.5, 10.0, 11.0, 12.0),
}
MEASURES = {"hr": "hit_C", "ndcg": "ndcg_C", "new_hr": "new_hit_C", "new_ndcg": "new_ndcg_C"}
NUM_DRAWS = 1_000
PACKAGES = ("numpy", "scipy", "pyarrow")
Parameters = dict[str, float]


@dataclass(frozen=True, kw_only=True, eq=False)
class Window:
    """One part: what is known, and what came next."""

    history: Events
    target: Events
    as_of_s: float

    def ready(self) -> "Ranking":
        """With its neighbors and cases."""
        return Ranking(self)


class Ranking:
    """Measures parameters on one window; the default is measured first."""

    def __init__(self, window: Window) -> None:
        self._window = window
        self.cases = cases_of(window.history, window.target)
        self._neighbors = neighbor_matrix(window.history, behaviors=shop_behaviors(), as_of_s=window.as_of_s)
        self._default = self._measured(default_parameters())

    def report(self, parameters: Parameters) -> dict[str, Any]:
        """Each measure with its interval, and its paired difference to the default."""
        measured, found = self._measured(parameters), {}
        for name, field in MEASURES.items():
            users = self.cases.user_C[self.cases.is_new_C] if name.startswith("new") else self.cases.user_C
            values, base = getattr(measured, field), getattr(self._default, field)
            found[name] = _interval(values, users)
            found[f"{name}_difference"] = _interval(values - base, users)
        return found

    def _measured(self, parameters: Parameters) -> Measured:
        weights_B = np.array([parameters[name] for name in shop_behaviors().names])
        own = affinity_matrix(
            self._window.history,
            weights_B=weights_B,
            decay_per_day=parameters["decay_per_day"],
            as_of_s=self._window.as_of_s,
        )
        return measure(own, self._neighbors, self.cases)


def default_parameters() -> Parameters:
    """The default decay rate and weights (METHODS M1, M2)."""
    return {"decay_per_day": DEFAULT_RATE, **{b.name: b.weight for b in shop_behaviors()}}


def windows(events: Events) -> tuple[Window, Window]:
    """Validation and test: two days each, the last of the log."""
    end_s = float(np.floor(events.time_N.max() / DAY_S) + 1) * DAY_S
    parts = []
    for days_left in (4, 2):
        start_s = end_s - days_left * DAY_S
        history, target = events.between(-np.inf, start_s), events.between(start_s, start_s + 2 * DAY_S)
        parts.append(Window(history=history, target=target, as_of_s=start_s))
    return parts[0], parts[1]


def sweep(events: Events) -> tuple[dict[str, Any], dict[str, Any]]:
    """(figures, curves)."""
    validation, test = windows(events)
    ranking, default = validation.ready(), default_parameters()
    curves: dict[str, list[dict[str, Any]]] = {}
    for name, values in GRID.items():
        curves[name] = [{"value": value, **ranking.report({**default, name: value})} for value in values]
    best = {name: max(points, key=lambda point: point["ndcg"]["mean"])["value"] for name, points in curves.items()}
    tried = [default, *({**default, name: value} for name, value in best.items()), best]
    reports = [ranking.report(parameters) for parameters in tried]
    chosen = max(range(len(tried)), key=lambda number: reports[number]["ndcg"]["mean"])
    tested = test.ready()
    figures = {
        "default": default,
        "chosen": tried[chosen],
        "validation_default": reports[0],
        "validation_chosen": reports[chosen],
        "test_default": tested.report(default),
        "test_chosen": tested.report(tried[chosen]),
        "num_users": len(np.unique(events.user_N)),
        "validation_cases": len(ranking.cases.user_C),
        "test_cases": len(tested.cases.user_C),
        "test_new_cases": int(tested.cases.is_new_C.sum()),
    }
    return figures, curves


def _interval(values: np.ndarray, users: np.ndarray) -> dict[str, float]:
    found = clustered_interval(values, users.tolist(), seed=0, num_draws=NUM_DRAWS)
    return {"mean": round(found.mean, 5), "low": round(found.low, 5), "high": round(found.high, 5)}


def main() -> None:
    """Sweep and write the receipt."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--max-users", type=int, default=1_500, help="drawn with --seed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    folder = data_folder()
    if folder is None:
        print(f"skipped: no {DATA_SET} in {public_data()}")
        return
    began_s = time.monotonic()
    figures, curves = sweep(read_log(folder, max_users=arguments.max_users, seed=arguments.seed))
    figures["seconds"] = round(time.monotonic() - began_s, 1)
    path = write_receipt("sensitivity", figures, {"curves": curves}, packages=PACKAGES, output=arguments.output)
    for name in ("validation_default", "validation_chosen", "test_default", "test_chosen"):
        print(name, json.dumps(figures[name]))
    print("chosen", figures["chosen"], "in", figures["seconds"], "s;", path.name, "written")


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
