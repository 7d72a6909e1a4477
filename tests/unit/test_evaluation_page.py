"""The report page shows what report.json holds: lists, and ranks of single right items."""

from typing import Any

import pytest

from mmrec.experiments.data_sets import read_files
from mmrec.experiments.run import RunOptions, evaluate
from mmrec.reports.evaluation_report import evaluation_markdown, evaluation_page, markdown_row


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Of events at places; the last two of each user's ten are judged."""
    folder = tmp_path_factory.mktemp("page")
    rows = [f"u{user},i{(user * 7 + place) % 40},{place},seen" for user in range(30) for place in range(10)]
    (folder / "events.csv").write_text("\n".join(["user_id,item_id,position,behavior", *rows]) + "\n")
    options = RunOptions(protocol="user80_uniform_9", models=("popularity", "random"), num_trials=1)
    return evaluate(read_files(folder / "events.csv", None, encoders={}), options, out=folder / "run")


def test_the_page_shows_coverage_and_novelty_of_the_lists(report: dict[str, Any]) -> None:
    covered = report["models"]["popularity"]["lists"]["coverage_at_10"]
    text, page = evaluation_markdown(report), evaluation_page(report)
    assert "| model | coverage at 10 | novelty at 10 |" in text and f"| popularity | {covered:.4g} |" in text
    assert "Lists of ten among all items" in page


def test_every_right_item_among_drawn_candidates_stands_beside_the_shared_list(report: dict[str, Any]) -> None:
    found = report["models"]["random"]["metrics"]["uniform_9.new"]["refit"]
    assert found["hr_each_at_5"] >= found["recall_at_5"], "right items stand in no way"
    assert found["hr_each_at_5"] == pytest.approx(0.5, abs=0.2), "5 of 10 by chance"
    text = evaluation_markdown(report)
    section = text.partition("## HR@5 / NDCG@5 of every right item among drawn candidates alone")[2].partition("##")[0]
    assert f"{found['hr_each_at_5']:.3f} / {found['ndcg_each_at_5']:.3f}" in section and "full" not in section


def test_the_page_shows_the_value_of_every_option(report: dict[str, Any]) -> None:
    text = evaluation_markdown(report)
    assert "decay_per_day = 0, weights = equal" in text, "defaults have values, too"
    assert "| random | every order equally likely | none | 1 |" in text


def test_cells_of_markdown_keep_their_row_whatever_they_hold() -> None:
    assert markdown_row(["a|b", "two\nlines", 1_000, 0.5]) == r"| a\|b | two lines | 1,000 | 0.5 |"


def test_a_run_without_learning_curves_has_no_empty_section_of_them(report: dict[str, Any]) -> None:
    assert "Learning curves" not in evaluation_page(report)
    report = {**report, "models": {name: dict(each) for name, each in report["models"].items()}}
    report["models"]["random"]["learning_curves"] = {"train, seed 1": [(1.0, 0.5), (2.0, 0.4)]}
    assert "Learning curves" in evaluation_page(report)
