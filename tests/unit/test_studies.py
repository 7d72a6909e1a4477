"""Studies: declared ones name what there is; a small one runs to report and pages, and cells are kept."""

import json
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from mmrec.cli.main import app
from mmrec.errors import InvalidRequestError, MmrecError, NotFoundError
from mmrec.evaluation.interactions import Interactions, ItemFeatures, ItemLabels
from mmrec.evaluation.list_metrics import personalization
from mmrec.evaluation.published import S3_ABLATIONS, S3_MAIN, Published
from mmrec.experiments.data_sets import DATA_SETS, DataSet
from mmrec.experiments.run import RunOptions, task_of
from mmrec.experiments.studies import STUDIES, study_named
from mmrec.experiments.study import Study, Variant, World, hiding
from mmrec.experiments.study_run import run_study
from mmrec.reports.study_report import study_markdown, study_page
from mmrec.zoo.registry import model_named

pytestmark = pytest.mark.usefixtures("one_thread")
OPTIONS = RunOptions(protocol="", num_trials=2)
NUM_ITEMS = 30


def shop(*, behaviors: tuple[str, ...] = ("browse", "cart")) -> DataSet:
    """Users of two tastes; content tells them apart."""
    generator, rows = np.random.default_rng(2), []
    for user in range(40):
        items = generator.permutation(NUM_ITEMS // 2)[:10] * 2 + user % 2
        rows += [(user, item, place * 86_400.0 + user, place % len(behaviors)) for place, item in enumerate(items)]
    users, items_E, times, kinds = zip(*rows, strict=True)
    data = Interactions.in_order(
        user_ids=[f"u{user}" for user in range(40)],
        item_ids=[f"i{item}" for item in range(NUM_ITEMS)],
        behavior_names=behaviors,
        users_E=users,
        items_E=items_E,
        times_E=times,
        behaviors_E=kinds,
    )
    parity = np.arange(NUM_ITEMS) % 2
    vectors_ID = np.eye(2, dtype=np.float32)[parity]
    has_I = np.ones(NUM_ITEMS, dtype=np.bool_)
    labels = ItemLabels(names=("even", "odd"), offsets=np.arange(NUM_ITEMS + 1), codes_A=parity)
    items = ItemFeatures(
        num_items=NUM_ITEMS,
        vectors={"text": vectors_ID, "image": vectors_ID},
        present={"text": has_I, "image": has_I},
        labels=labels,
    )
    return DataSet(name="shop", data=data, items=items)


def world_of(found: DataSet) -> World:
    return World(task=task_of(found, RunOptions(protocol="user80_full"))[1], items=found.items)


BLIND = hiding("text", "image", "labels")
SMALL = Study(
    name="small",
    about="Likeness with and without content.",
    data_sets=("s3",),
    variants=lambda world: (
        Variant(name="popularity", model="popularity"),
        Variant(name="likeness", model="content_likeness", printed="whole"),
        Variant(
            name="likeness.blind", model="content_likeness", label="blind", alter=hiding("text", "image", "labels")
        ),
    ),
    candidates=("uniform_9",),
    reference="likeness",
    published=S3_ABLATIONS,
    differs=("Everything.",),
    parts=lambda world: {name: world.task.test.items_P % 2 == parity for parity, name in enumerate(("even", "odd"))},
)
CURVE = replace(
    SMALL,
    name="curve",
    variants=lambda world: [
        Variant(
            name=f"popularity.{rate}", model="popularity", parameters={"decay_per_day": rate}, curve="rate", value=rate
        )
        for rate in (0.0, 0.5)
    ],
    judged="validation",
    reference="",
    published=None,
    parts=lambda world: {},
)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("studies")
    for study in (SMALL, CURVE):
        run_study(study, shop(), OPTIONS, out=folder)
    return folder


def report_of(out: Path, name: str) -> dict:
    return json.loads((out / "shop" / f"{name}.json").read_text())


@pytest.mark.parametrize("study", STUDIES, ids=lambda study: study.name)
def test_a_study_names_models_and_data_sets_that_there_are(study: Study) -> None:
    found = world_of(shop(behaviors=("browse", "favorite", "cart", "purchase")))
    variants = list(study.variants(found))
    assert len({variant.name for variant in variants}) == len(variants) > 0
    for variant in variants:
        assert model_named(variant.model).model(variant.parameters).name == variant.model
        altered = variant.alter(found)
        assert len(altered.task.test) == len(found.task.test)
    assert set(study.data_sets) <= set(DATA_SETS)
    assert not study.reference or study.reference in {variant.name for variant in variants}
    rows = study.published.rows if study.published is not None else {}
    assert {variant.printed for variant in variants} - {""} <= set(rows)


def test_an_unknown_study_is_refused_with_those_that_exist() -> None:
    with pytest.raises(NotFoundError, match=r"no study is called 's4_main'; known: s3_main, s3_ablations"):
        study_named("s4_main")


def test_every_row_of_the_papers_ablations_has_a_variant_where_the_data_have_the_parts() -> None:
    variants = study_named("s3_ablations").variants(world_of(shop()))
    assert {variant.printed for variant in variants} - {""} == set(S3_ABLATIONS.rows)


def test_what_is_hidden_is_learned_without_and_the_rest_stays() -> None:
    found = world_of(shop())
    altered = hiding("image", "labels", "smell")(found)
    assert set(altered.items.vectors) == set(altered.items.present) == {"text"} and altered.items.labels is None
    assert altered.task is found.task and set(found.items.vectors) == {"text", "image"}


def test_a_report_has_ours_and_the_papers_figures_and_says_what_differs(out: Path) -> None:
    report = report_of(out, "small")
    rows = report["rows"]
    assert set(rows) == {"popularity", "likeness", "likeness.blind"} and report["candidates"] == "full.new"
    figures = rows["likeness"]["figures"]["full.new"]
    assert set(figures) == {"train", "refit"} and 0 < figures["refit"]["ndcg_at_5"] < 1
    assert figures["refit"]["hr_at_5"] > rows["likeness.blind"]["figures"]["full.new"]["refit"]["hr_at_5"]
    assert report["differences"]["likeness.blind"]["difference"] < 0
    assert set(rows["likeness"]["parts"]) == {"even", "odd"}
    text = study_markdown(report)
    assert "- Everything." in text and "0.703 | 0.491" in text and "| without decay | 0.671 | 0.472 |" in text
    assert "<h2>" in study_page(report)


def test_a_curve_is_of_validation_and_shows_how_lists_differ(out: Path) -> None:
    report = report_of(out, "curve")
    assert report["fits"] == ["train"] and report["task"]["judged"] == "validation"
    assert report["task"]["targets"] == len(world_of(shop()).task.validation)
    assert [row["value"] for row in report["rows"].values()] == [0.0, 0.5]
    page = study_page(report)
    assert "personalization at 10" in page and "diversity at 10 text" in page and "<svg" in page


def test_a_study_that_is_started_again_fits_nothing_and_says_the_same(out: Path) -> None:
    said: list[str] = []
    before = report_of(out, "small")
    run_study(SMALL, shop(), OPTIONS, out=out, tell=said.append)
    assert report_of(out, "small") == before and not any("fitted" in line for line in said)


def test_a_variant_that_two_studies_have_is_fitted_once(out: Path) -> None:
    said: list[str] = []
    other = replace(SMALL, name="other", variants=lambda world: [Variant(name="likeness", model="content_likeness")])
    run_study(other, shop(), OPTIONS, out=out, tell=said.append)
    assert not any("fitted" in line for line in said)


def test_a_curve_needs_validation_and_a_study_something_to_vary(tmp_path: Path) -> None:
    found = shop()
    short = replace(found, data=found.data.take(found.data.times_E < 2 * 86_400.0))
    with pytest.raises(InvalidRequestError, match="curve is judged on validation, and this split has no such targets"):
        run_study(CURVE, short, replace(OPTIONS, protocol="loo_full"), out=tmp_path)
    with pytest.raises(InvalidRequestError, match="small has nothing to vary on these data; take another data set"):
        run_study(replace(SMALL, variants=lambda world: ()), found, OPTIONS, out=tmp_path)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--study", "s3"], "no study is called 's3'; known: s3_main"),
        (["--study", "s3_main", "--models", "random"], "--study s3_main brings its models; leave --models random out"),
        (["--study", "s3_main", "--data", "beauty"], "no data set 'beauty'; there are amazon_beauty_sequences"),
        (["--study", "s3_main", "--protocol", "loo"], "no protocol is called 'loo'; give SPLIT_CANDIDATES"),
    ],
)
def test_a_wrong_argument_is_said_before_anything_is_fitted(arguments: list[str], said: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["evaluate", *arguments, "--out", str(tmp_path)])
    assert isinstance(result.exception, MmrecError) and said in str(result.exception)


def test_a_variant_and_a_published_table_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="a variant is called 'a/b'; take small letters"):
        Variant(name="a/b", model="random")
    with pytest.raises(ValueError, match="S9, x: 1 figures of 2 metrics"):
        Published(source="S9", what="", metrics=S3_MAIN.metrics, rows={"x": (0.5,)})


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.integers(0, 6), min_size=3, max_size=3, unique=True), max_size=6))
def test_personalization_is_the_mean_share_that_two_lists_do_not_have_in_common(lists: list[list[int]]) -> None:
    pairs = [1 - len(set(one) & set(other)) / 3 for one, other in combinations(lists, 2)]
    expected = np.mean(pairs) if pairs else 0.0
    assert personalization(np.array(lists, dtype=np.int64).reshape(-1, 3)) == pytest.approx(expected)
