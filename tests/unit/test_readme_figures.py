"""README's figures are those of the committed receipts, and a demo that comes out otherwise says so."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from mmrec.demo.stated import Stated, comparison, has_drifted, kept, read_stated
from mmrec.errors import IncompatibleStateError
from tests.benchmarks.keep_demo import figures
from tests.benchmarks.receipt import RESULTS, ROOT

Figures = Mapping[str, Mapping[str, Any]]
"""Figures of each receipt, by its name."""


def kilo(value: float) -> str:
    return f"{value / 1000:.0f} k"


def share(value: float) -> str:
    return f"{value:.3f}".lstrip("0")


ROWS: dict[str, Callable[[Figures], list[str]]] = {
    "Events per second from Kafka": lambda of: [
        f"{kilo(of['stream']['events_per_s_sqlite'])} (SQLite)",
        f"{kilo(of['stream']['events_per_s_redis'])} (Redis)",
    ],
    "Time until a click shows": lambda of: [
        f"{of['stream']['freshness_collector_p50_ms']:.0f} ms through the collector",
        f"{of['stream']['freshness_kafka_p50_ms']:.0f} ms straight onto Kafka",
    ],
    "A list of 20 from 400 candidates": lambda of: [f"median {of['recommend']['p50_ms_c1']:.0f} ms"],
    "Events lost, and profiles wrong": lambda of: [
        f"{of['chaos_stream']['lost']} of {of['chaos_stream']['acknowledged']:,}",
        f"and {of['chaos_stream']['wrong_profiles']}",
    ],
    "HR@10 on MovieLens small, unseen films": lambda of: [
        share(of["demo_movielens"]["hr_at_10"]),
        f"popularity: {share(of['demo_movielens']['hr_at_10_popularity'])}",
    ],
}
"""Beginning of a row of README's table of figures -> what must stand in it."""
WITHOUT_RECEIPT = frozenset({"HR@10 on MovieLens small, unseen films"})
"""Rows whose runs are not kept yet; a row leaves this set with its receipt (python -m tests.benchmarks.keep_demo)."""


def receipts() -> Figures:
    return {path.stem: json.loads(path.read_text())["figures"] for path in RESULTS.glob("*.json")}


def table_rows(readme: str) -> dict[str, str]:
    """Figure -> value of README's first table."""
    lines = readme[readme.index("| figure | value |") :].split("\n\n", maxsplit=1)[0].splitlines()[2:]
    return dict(re.fullmatch(r"\| (.+) \| (.+) \|", line).groups() for line in lines)  # type: ignore[union-attr]


def disagreements(readme: str, found: Figures) -> list[str]:
    """Rows that say something else than the receipts, rows without a rule, and rules without a row."""
    rows, wrong, used = table_rows(readme), [], set()
    for name, value in rows.items():
        rule = next((begin for begin in ROWS if name.startswith(begin)), None)
        if rule is None:
            wrong.append(f"no receipt is named for {name!r}; add it to ROWS")
            continue
        used.add(rule)
        try:
            expected = ROWS[rule](found)
        except KeyError as lacking:
            if rule not in WITHOUT_RECEIPT:
                wrong.append(f"{name}: {lacking} is in no receipt")
            continue
        if rule in WITHOUT_RECEIPT:
            wrong.append(f"{name} has a receipt now; take it out of WITHOUT_RECEIPT")
        wrong += [f"{name}: says {value!r}, the receipt {part!r}" for part in expected if part not in value]
    return wrong + [f"README has no row {rule!r}" for rule in ROWS if rule not in used]


def test_readme_says_what_the_receipts_say() -> None:
    assert disagreements((ROOT / "README.md").read_text(), receipts()) == []


def test_a_figure_that_drifted_from_its_receipt_is_found() -> None:
    readme, found = (ROOT / "README.md").read_text(), receipts()
    measured = kilo(found["stream"]["events_per_s_redis"])
    assert any("Redis" in line for line in disagreements(readme.replace(measured, "99 k"), found))
    newer = {**found, "recommend": {**found["recommend"], "p50_ms_c1": 77.0}}
    assert [line for line in disagreements(readme, newer) if "77 ms" in line]
    assert any("no receipt is named" in line for line in disagreements(readme.replace("| A list", "| The list"), found))


def demo(hr: float, *, low: float = 0.015, mean: float = 0.026, high: float = 0.037) -> dict[str, Any]:
    return {
        "dataset": "movielens",
        "split": "the last tenth",
        "hr_at_10": hr,
        "hr_at_10_popularity": hr - mean,
        "ndcg_at_10": hr / 2,
        "ndcg_at_10_popularity": hr / 3,
        "num_lists_compared": 4_837,
        "hr_at_10_difference": {"mean": mean, "low": low, "high": high},
    }


def stated(*documents: dict[str, Any]) -> Stated:
    return Stated(commit="abc1234", runs=[kept(document) for document in documents])


def test_a_demo_has_drifted_where_the_stated_difference_is_not_within_its_interval() -> None:
    runs = stated(demo(0.099), demo(0.105, mean=0.032))
    assert not has_drifted(kept(demo(0.099)), runs)
    assert has_drifted(kept(demo(0.118, low=0.034, mean=0.045, high=0.056)), runs)
    alike = comparison(demo(0.1), runs)
    assert alike == "HR@10 0.100 here, 0.099 to 0.105 in 2 stated runs of abc1234: alike"
    drifted = comparison(demo(0.118, low=0.034, mean=0.045, high=0.056), runs)
    assert "DRIFTED, their mean difference over popularity of +0.029 is not within" in drifted
    assert "keep_demo" in comparison(demo(0.1), None)


def test_runs_are_stated_by_their_mean_and_their_range() -> None:
    found = figures(stated(demo(0.099), demo(0.105)))
    assert (found["num_runs"], found["hr_at_10"]) == (2, pytest.approx(0.102))
    assert (found["hr_at_10_lowest"], found["hr_at_10_highest"]) == (0.099, 0.105)


def test_a_receipt_that_states_nothing_is_refused(tmp_path) -> None:
    path = tmp_path / "demo_movielens.json"
    assert read_stated(path) is None
    for text in ("", "{}", json.dumps({"commit": "a", "samples": {"runs": []}})):
        path.write_text(text)
        with pytest.raises(IncompatibleStateError, match="states no runs"):
            read_stated(path)
    path.write_text(json.dumps({"commit": "a", "samples": {"runs": [kept(demo(0.1))]}}))
    assert read_stated(path) == Stated(commit="a", runs=(kept(demo(0.1)),))
