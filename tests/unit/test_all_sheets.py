"""Sheets run as far as a budget of time allows, go on where they ended, and leave results that only grow."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from mmrec.clock import ManualClock
from mmrec.errors import DeadlineError, InvalidRequestError, MachineError, NotFoundError
from mmrec.evaluation.published import S3_MAIN
from mmrec.experiments.all_sheets import TABLES, keep, run_sheets
from mmrec.experiments.budget import Budget
from mmrec.experiments.data_sets import DATA_SETS, DataSet, read_files
from mmrec.experiments.protocols import protocol_named
from mmrec.experiments.run import RunOptions, evaluate
from mmrec.experiments.sheets import SHEETS, Sheet, sheet_named
from mmrec.zoo.registry import MODELS

MODELS_ASKED = ("random", "popularity")
SHEET = Sheet(
    name="small",
    about="A small shop.",
    data="shop",
    options=RunOptions(models=MODELS_ASKED, num_trials=2),
    published=(S3_MAIN,),
)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> DataSet:
    path = tmp_path_factory.mktemp("shop") / "events.csv"
    rows = [f"u{user},i{(user * 7 + place * place) % 40},{place}" for user in range(30) for place in range(6)]
    path.write_text("\n".join(["user_id,item_id,position", *rows]) + "\n")
    return read_files(path, None, encoders={})


class Stopping:
    """A clock that a minute passes on with each look, and a budget that allows one piece of work."""

    def __init__(self) -> None:
        self.clock = ManualClock(0.0)
        self.budget = Budget(1.5, clock=self)

    def now_s(self) -> float:
        now_s = self.clock.now_s()
        self.clock.advance(60.0)
        return now_s


def test_a_budget_is_over_when_its_minutes_are_and_not_before() -> None:
    clock = ManualClock(100.0)
    budget = Budget(2.0, clock=clock)
    clock.advance(119.0)
    budget.check()
    clock.advance(1.0)
    with pytest.raises(DeadlineError, match="the budget of time is over; run again to go on"):
        budget.check()
    for wrong in (-1.0, float("nan")):
        with pytest.raises(InvalidRequestError, match=r"a budget of .* minutes; give 0 or more"):
            Budget(wrong)
    Budget(clock=clock).check()


def test_a_run_that_is_stopped_anywhere_goes_on_to_the_report_of_one_that_was_not(
    shop: DataSet, tmp_path: Path
) -> None:
    options = replace(SHEET.options, num_seeds=2)
    whole = evaluate(shop, options, out=tmp_path / "whole")
    told: list[str] = []
    for calls in range(20):
        told.clear()
        try:
            report = evaluate(shop, options, out=tmp_path / "parts", tell=told.append, budget=Stopping().budget)
        except DeadlineError as error:
            assert "no model is there yet" in str(error) and calls < 3
            continue
        assert sum("fitted in" in line or "trial" in line for line in told) <= 1, "one piece of work per call"
        if not report["missing"]:
            break
        assert f"not all there yet: {', '.join(report['missing'])}" in report["task"]["notes"][-1]
    assert calls == 6, "three trials and four cells"
    figures = ("hr_at_10", "ndcg_at_10_refit", "seeds", "metrics", "strata")
    for name in MODELS_ASKED:
        assert all(report["models"][name][each] == whole["models"][name][each] for each in figures)
    assert whole["missing"] == []


def test_sheets_have_one_seed_each_before_any_has_more_and_results_as_tables(shop: DataSet, tmp_path: Path) -> None:
    told: list[str] = []
    sheets = [SHEET, replace(SHEET, name="other", published=())]
    unfinished = run_sheets(
        sheets,
        read=lambda name: shop,
        out=tmp_path / "out",
        results=tmp_path / "results",
        budget=Budget(),
        num_seeds=2,
        tell=told.append,
        origin={"commit": "abc", "machine": "2 cores"},
    )
    assert unfinished == []
    seeds = [line.split(":")[0].split()[-1] for line in told if "fitted in" in line]
    assert seeds == ["1"] * 4 + ["2"] * 4
    kept = json.loads((tmp_path / "results" / "small.json").read_text())
    assert kept["models"]["popularity"]["seeds"] == [1, 2] and kept["commit"] == "abc" and kept["missing"] == []
    assert set(kept["models"]["popularity"]["options"]) == {"decay_per_day", "weights"}
    text = (tmp_path / "results" / TABLES).read_text()
    assert "## small" in text and "## other" in text and "| popularity | 2 | 2 |" in text
    drawn = (tmp_path / "results" / "small.svg").read_text()
    assert "](small.svg)" in text and "NDCG@10" in drawn and "popularity" in drawn
    assert text.count("Published: S3.") == 1 and "| ItemCF | 0.6170 | 0.4320 | – | – |" in text


def test_sheets_whose_data_are_not_here_or_whose_time_is_over_are_named(shop: DataSet, tmp_path: Path) -> None:
    def read(name: str) -> DataSet:
        raise MachineError(f"no folder {name}")

    told: list[str] = []
    where = {"out": tmp_path / "out", "results": tmp_path / "results", "num_seeds": 1}
    assert run_sheets([SHEET], read=read, budget=Budget(), tell=told.append, **where) == ["small"]
    assert told == ["small: no folder shop"]
    over = Budget(0.0, clock=ManualClock(0.0))
    assert run_sheets([SHEET], read=lambda name: shop, budget=over, **where) == ["small"]
    assert not (tmp_path / "results").exists()


def test_a_result_is_not_replaced_by_one_of_fewer_fits_unless_that_is_complete(shop: DataSet, tmp_path: Path) -> None:
    report = evaluate(shop, replace(SHEET.options, num_seeds=2), out=tmp_path / "two")
    fewer = evaluate(shop, SHEET.options, out=tmp_path / "one")
    assert keep(SHEET, report, tmp_path)
    assert not keep(SHEET, {**fewer, "missing": ["popularity"]}, tmp_path)
    assert json.loads((tmp_path / "small.json").read_text())["models"]["random"]["seeds"] == [1, 2]
    assert keep(SHEET, fewer, tmp_path)


def test_every_sheet_names_a_set_and_a_protocol_that_are_there_and_asks_every_model() -> None:
    assert len({sheet.name for sheet in SHEETS}) == len(SHEETS)
    for sheet in SHEETS:
        assert sheet.data in DATA_SETS and protocol_named(sheet.options.protocol)
        assert sheet.options.entries() == MODELS and sheet_named(sheet.name) is sheet
    with pytest.raises(NotFoundError, match=r"no sheet is called 'beauty'; known: beauty_loo"):
        sheet_named("beauty")
