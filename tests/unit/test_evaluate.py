"""`mmrec evaluate` from files to report: without a stack, cells that are kept, errors that name the cell."""

import ast
import csv
import json
import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import mmrec
from mmrec.cli.main import app
from mmrec.errors import InvalidRequestError, MachineError, MmrecError, NotFoundError, PreconditionError
from mmrec.evaluation.candidates import draw_candidates
from mmrec.evaluation.interactions import Float32Array, Histories, IntArray, Interactions, ItemFeatures
from mmrec.evaluation.search_space import Choice
from mmrec.evaluation.task import Task
from mmrec.experiments.cells import CODE, code_digest
from mmrec.experiments.comparing import compare_runs
from mmrec.experiments.data_sets import DATA_SETS, DataSet, read_data_set, read_files, simulated
from mmrec.experiments.event_table import read_events
from mmrec.experiments.item_table import features_of, read_items
from mmrec.experiments.protocols import protocol_named
from mmrec.experiments.run import RunOptions, evaluate, run_key, task_of
from mmrec.experiments.target_file import write_targets
from mmrec.experiments.trained import fit
from mmrec.experiments.tuning import Tuning, tuned
from mmrec.reports.evaluation_report import evaluation_markdown, evaluation_page
from mmrec.simulator.settings import BEHAVIORS, StorefrontConfig
from mmrec.zoo.item_knn import ITEM_KNN
from mmrec.zoo.popularity import Popularity, PopularityOptions
from mmrec.zoo.served import SERVED
from mmrec.zoo.zoo_model import ZooModel
from tests.public_data import public_data

NUM_USERS, NUM_ITEMS = 40, 30
OPTIONS = RunOptions(models=("popularity", "random"), num_seeds=2, num_trials=3)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Events by position and items: a few items are liked by everybody, the last item has no event."""
    folder = tmp_path_factory.mktemp("shop")
    generator = np.random.default_rng(3)
    chances = np.linspace(3, 0.2, NUM_ITEMS - 1) / np.linspace(3, 0.2, NUM_ITEMS - 1).sum()
    rows = [
        (f"u{user}", f"i{item}", place)
        for user in range(NUM_USERS)
        for place, item in enumerate(generator.choice(NUM_ITEMS - 1, 8, replace=False, p=chances).tolist())
    ]
    events, items = folder / "events.csv", folder / "items.parquet"
    with events.open("w", newline="") as file:
        csv.writer(file).writerows([("user_id", "item_id", "position"), *rows])
    table = {
        "item_id": [f"i{item}" for item in range(NUM_ITEMS)],
        "title": [f"Linen shirt {item % 3}" if item else "" for item in range(NUM_ITEMS)],
        "tags": [[item % 4, 7] for item in range(NUM_ITEMS)],
        "brand": [f"b{item % 2}" for item in range(NUM_ITEMS)],
        "price": [float(item) for item in range(NUM_ITEMS)],
        "picture_vector": [[float(item), 1.0] if item % 2 else None for item in range(NUM_ITEMS)],
    }
    pq.write_table(pa.table(table), items)
    return events, items


@pytest.fixture(scope="module")
def data_set(files: tuple[Path, Path]) -> DataSet:
    return read_files(*files)


@pytest.fixture(scope="module")
def run(data_set: DataSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run")
    evaluate(data_set, OPTIONS, out=out)
    return out


def test_files_become_rows_and_items_without_events_are_candidates(data_set: DataSet) -> None:
    data, items = data_set.data, data_set.items
    assert (data.num_users, data.num_items, len(data)) == (NUM_USERS, NUM_ITEMS, NUM_USERS * 8)
    assert data.clock == "positions" and data.behavior_names == ("event",)
    assert data.item_ids[:3] == ("i0", "i1", "i2")
    assert sorted(items.vectors) == ["picture_vector", "text"]
    assert items.present["picture_vector"].sum() == NUM_ITEMS // 2 and not items.present["text"][0]
    assert items.vectors["picture_vector"][3].tolist() == [3.0, 1.0]
    assert items.labels is not None
    names = [
        items.labels.names[code] for code in items.labels.codes_A[items.labels.offsets[5] : items.labels.offsets[6]]
    ]
    assert names == ["brand=b1", "tags=1", "tags=7"], "prices are no labels"


def test_the_report_has_figures_of_both_fits_with_intervals_and_cost(run: Path) -> None:
    report = json.loads((run / "report.json").read_text())
    popular, chance = report["models"]["popularity"], report["models"]["random"]
    for name in ("hr_at_5", "ndcg_at_5", "hr_at_10", "ndcg_at_10"):
        for each in (name, f"{name}_refit"):
            low, high = popular["intervals"][each]
            assert low <= popular[each] <= high
    assert popular["fit_seconds"] >= 0.0 and popular["tuning"]["trials"] == 3 and chance["tuning"]["trials"] == 1
    assert popular["hr_at_10_refit"] > chance["hr_at_10_refit"]
    assert set(popular["metrics"]) >= {"full.new", "full.any", "uniform_9.new", "uniform_19.new", "cold.new"}
    assert report["task"]["notes"][0].startswith("uniform_49 is left out: uniform_49 needs 49 items")
    compared = report["comparison"]
    assert compared["reference"] == "popularity" and set(compared["models"]) == {"random"}
    assert "item_other" in popular["strata"] and popular["seeds"] == [1, 2]


def test_a_run_that_is_there_is_not_done_again_and_a_lost_cell_comes_back_the_same(
    run: Path, data_set: DataSet
) -> None:
    before = json.loads((run / "report.json").read_text())
    told: list[str] = []
    again = evaluate(data_set, OPTIONS, out=run, tell=told.append)
    assert len(told) == 1, "only what is measured is told"
    assert again == before
    (run / "cells" / "random" / "2" / "cell.json").unlink()
    once_more = evaluate(data_set, OPTIONS, out=run, tell=told.append)
    assert [line.partition(":")[0] for line in told[2:]] == ["random, seed 2"]
    assert once_more["models"]["random"]["hr_at_10_refit"] == before["models"]["random"]["hr_at_10_refit"]


@dataclass(frozen=True, kw_only=True)
class _FragileOptions:
    share: float = 0.0


class _Fragile(Popularity):
    """Popularity, divided by what one of its parameters leaves: nothing, where the share is 1."""

    def __init__(self, options: _FragileOptions) -> None:
        super().__init__(PopularityOptions())
        self._left = 1.0 - options.share

    def fit(self, data: Interactions, items: ItemFeatures, *, seed: int) -> None:
        super().fit(data, items, seed=seed)
        if self._left == 0.0:
            raise ValueError("share 1.0 leaves nothing; give less")


class _Busy(Popularity):
    """Popularity that needs the processor while it scores."""

    SPENT_S = 0.05

    def __init__(self, options: _FragileOptions) -> None:
        del options
        super().__init__(PopularityOptions())

    def score(self, users_N: IntArray, histories: Histories) -> Float32Array:
        until_s = time.process_time() + self.SPENT_S
        while time.process_time() < until_s:
            pass
        return super().score(users_N, histories)


def test_a_trial_that_fails_is_kept_with_its_message_and_neither_chosen_nor_tried_again(
    data_set: DataSet, tmp_path: Path
) -> None:
    told: list[str] = []
    _, task = task_of(data_set, OPTIONS)

    def tried(*shares: float, default: type[_FragileOptions] = _FragileOptions) -> Tuning:
        entry = ZooModel(name="fragile", options=default, build=_Fragile, space={"share": Choice(shares)})
        path = tmp_path / f"{default.__name__}.json"
        return tuned(entry, task, data_set.items, num_trials=9, path=path, key="k", tell=told.append)

    found = tried(1.0, 0.5)
    assert [trial.get("failed") for trial in found.tried] == [None, "share 1.0 leaves nothing; give less", None]
    assert found.best["parameters"] == {} and "failed (share 1.0 leaves nothing" in told[1]
    assert tried(1.0, 0.5) == found and len(told) == 3

    @dataclass(frozen=True, kw_only=True)
    class Broken(_FragileOptions):
        share: float = 1.0

    with pytest.raises(InvalidRequestError, match=r"all 2 trials of fragile failed, the first one: share 1.0 leaves"):
        tried(1.0, default=Broken)


def test_parameters_that_are_tuples_are_not_tried_again(data_set: DataSet, tmp_path: Path) -> None:
    options, told = RunOptions(models=("blend",), num_trials=2), list[str]()
    before = evaluate(data_set, options, out=tmp_path)
    again = evaluate(data_set, options, out=tmp_path, tell=told.append)
    assert len(told) == 1 and again == before
    assert again["models"]["blend"]["tuning"]["trials"] == 2


def test_the_key_of_a_run_differs_with_candidates_labels_behaviors_and_grades(data_set: DataSet) -> None:
    _, task = task_of(data_set, OPTIONS)
    popularity_I = np.ones(NUM_ITEMS)

    def key(of: Task = task, items: ItemFeatures = data_set.items, *, seed: int = 0) -> str:
        drawn = draw_candidates(of.test, "uniform_9", seen=of.seen, popularity_I=popularity_I, seed=seed)
        return run_key(of, items, [drawn])

    labels = data_set.items.labels
    assert labels is not None
    moved = labels.offsets.copy()
    moved[1] += 1  # the second item's first label is the first item's last one
    others = [
        key(seed=1),
        key(items=replace(data_set.items, labels=replace(labels, offsets=moved))),
        key(replace(task, data=replace(task.data, behavior_names=("buy",)))),
        key(replace(task, test=replace(task.test, grades_P=2.0 * task.test.grades_P))),
    ]
    assert key() == key() and len({key(), *others}) == 5


def test_a_run_that_was_begun_for_another_task_is_not_compared_until_it_ends(
    run: Path, data_set: DataSet, tmp_path: Path
) -> None:
    evaluate(data_set, RunOptions(models=("random",)), out=tmp_path)
    _, task = task_of(data_set, RunOptions(protocol="user80_full"))
    write_targets(tmp_path, task.test, key="another")
    with pytest.raises(PreconditionError, match="holds targets of run another and a report of"):
        compare_runs(run, tmp_path)


def test_without_validation_targets_models_have_their_defaults_and_the_report_says_so(
    data_set: DataSet, tmp_path: Path
) -> None:
    options = replace(OPTIONS, min_history=7, num_seeds=1)  # of eight events each only the last one has as many before
    report = evaluate(data_set, options, out=tmp_path)
    assert (report["task"]["validation_targets"], report["task"]["test_targets"]) == (0, NUM_USERS)
    assert report["models"]["popularity"]["tuning"]["trials"] == 1
    assert any(note.startswith("there are no validation targets") for note in report["task"]["notes"])
    assert "there are no validation targets" in evaluation_markdown(report)


def test_a_cell_whose_places_cannot_be_written_does_not_count_as_done(data_set: DataSet, tmp_path: Path) -> None:
    options = RunOptions(models=("random",))
    evaluate(data_set, options, out=tmp_path)
    cell = tmp_path / "cells" / "random" / "1"
    (cell / "places.npz").unlink()
    (cell / "places.npz").mkdir()
    with pytest.raises(IsADirectoryError):
        evaluate(data_set, options, out=tmp_path)
    assert not (cell / "cell.json").exists()


def test_cells_count_as_other_ones_once_a_file_that_models_share_differs(tmp_path: Path) -> None:
    package, copied = Path(mmrec.__file__).parent, tmp_path / "mmrec"
    for pattern in CODE:
        assert any(package.glob(pattern)), f"{pattern} names no file"
        for path in package.glob(pattern):
            (copied / path.relative_to(package)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copied / path.relative_to(package))
    assert code_digest(copied) == code_digest()
    with (copied / "zoo" / "history_matrix.py").open("a") as file:
        file.write("# changed\n")
    assert code_digest(copied) != code_digest()


def imported_files(first: Path) -> set[Path]:
    """The files of the package that a file imports, and what these import."""
    package, found, left = Path(mmrec.__file__).parent, set[Path](), [first]
    while left:
        path = left.pop()
        if path in found:
            continue
        found.add(path)
        nodes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
        modules = [node.module.split(".") for node in nodes if (node.module or "").startswith("mmrec.")]
        left += [
            each for each in (package.joinpath(*parts[1:]).with_suffix(".py") for parts in modules) if each.is_file()
        ]
    return found


def test_what_a_release_is_trained_and_served_by_counts_for_the_shipped_models_alone(tmp_path: Path) -> None:
    package, copied = Path(mmrec.__file__).parent, tmp_path / "mmrec"
    for pattern in (*CODE, *SERVED.rests_on):
        assert any(package.glob(pattern)), f"{pattern} names no file"
        for path in package.glob(pattern):
            (copied / path.relative_to(package)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copied / path.relative_to(package))
    before = code_digest(copied, also=SERVED.rests_on)
    assert before == code_digest(also=SERVED.rests_on)
    with (copied / "training" / "fit_trees.py").open("a") as file:
        file.write("# changed\n")
    assert code_digest(copied, also=SERVED.rests_on) != before
    assert code_digest(copied) == code_digest() and not ITEM_KNN.rests_on
    listed = {path for pattern in (*CODE, *SERVED.rests_on) for path in package.glob(pattern)}
    rooms = {package / room for room in ("training", "recall", "models", "scoring", "features")}
    reached = {path for path in imported_files(package / "zoo" / "served.py") if rooms & set(path.parents)}
    assert len(reached) > 60
    assert reached - listed == {package / "features" / name for name in ("record_counts.py", "values.py")}


def test_candidates_are_the_same_whichever_models_run(data_set: DataSet, run: Path, tmp_path: Path) -> None:
    alone = evaluate(data_set, RunOptions(models=("random",), num_seeds=2), out=tmp_path)
    together = json.loads((run / "report.json").read_text())
    assert alone["models"]["random"]["metrics"] == together["models"]["random"]["metrics"]


def test_a_model_without_processor_time_left_keeps_its_first_trial(data_set: DataSet, tmp_path: Path) -> None:
    told: list[str] = []
    options = RunOptions(models=("popularity",), num_trials=3, max_cpu_seconds=0.0)
    report = evaluate(data_set, options, out=tmp_path, tell=told.append)
    assert report["models"]["popularity"]["tuning"]["trials"] == 1
    assert any("popularity: 1 of 3 trials" in line for line in told)


def test_pages_name_every_model_and_hold_everything_inside(run: Path) -> None:
    report = json.loads((run / "report.json").read_text())
    text, page = evaluation_markdown(report), evaluation_page(report)
    for name in report["models"]:
        assert f"| {name} |" in text and f"<td>{name}</td>" in page
    assert "## Refit with the validation events" in text and "item_other" in text
    assert "<svg" in page and "http" not in page.replace("http://www.w3.org/2000/svg", "")


def test_a_run_compared_with_itself_does_not_differ(run: Path) -> None:
    found = compare_runs(run, run)
    for fits in found["models"].values():
        for metrics in fits.values():
            assert all(each["difference"] == 0.0 and each["p_holm"] == 1.0 for each in metrics.values())


def test_runs_of_different_tasks_are_not_compared(run: Path, data_set: DataSet, tmp_path: Path) -> None:
    evaluate(data_set, RunOptions(models=("random",), protocol="user80_uniform_9"), out=tmp_path)
    with pytest.raises(InvalidRequestError, match="ask different things"):
        compare_runs(run, tmp_path)
    with pytest.raises(NotFoundError, match=r"no targets.npz in .*; give the folder of a run"):
        compare_runs(run, tmp_path / "none")


def test_the_command_runs_without_a_stack_and_writes_three_reports(files: tuple[Path, Path], tmp_path: Path) -> None:
    events, items = (str(each) for each in files)
    command = ["evaluate", "--events", events, "--items", items, "--models", "popularity", "--trials", "1"]
    result = CliRunner().invoke(app, [*command, "--out", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert {"report.json", "report.md", "report.html"} <= {each.name for each in tmp_path.iterdir()}
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["task"]["protocol"] == "loo_full" and report["machine"] and report["versions"]["numpy"]
    shown = CliRunner().invoke(app, ["evaluate", "--compare", str(tmp_path), str(tmp_path)])
    assert shown.exit_code == 0 and "p (Holm)" in shown.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "give either --events with a file, or --data with the name of a set"),
        (["--data", "s3"], "--out is missing"),
        (["--data", "beauty", "--out", "x"], "no data set 'beauty'; there are amazon_beauty_sequences"),
        (["--data", "s3", "--out", "x", "--models", "popularty"], "no model is called 'popularty'; known: random"),
        (["--data", "s3", "--out", "x", "--models", "all,typo"], "no model is called 'typo'; known: random"),
        (["--data", "s3", "--out", "x", "--models", ","], "no model is named; give all, or some of random, popularity"),
        (["--data", "s3", "--out", f"{__file__}/x"], "test_evaluate.py is a file; name a folder"),
        (["--data", "s3", "--out", "x", "--protocol", "loo"], "no protocol is called 'loo'; give SPLIT_CANDIDATES"),
        (
            ["--data", "s3", "--out", "x", "--protocol", "loo_ful"],
            "no candidates are called 'ful'; give full, cold, uniform_M",
        ),
        (["--data", "s3", "--out", "x", "--seen", "old"], "--seen 'old'; give new or any"),
        (["--data", "s3", "--out", "x", "--encode", "text"], "--encode 'text'; give a name and a value"),
    ],
)
def test_a_wrong_argument_is_said_before_anything_is_read(arguments: list[str], said: str) -> None:
    result = CliRunner().invoke(app, ["evaluate", *arguments])
    assert isinstance(result.exception, MmrecError) and said in str(result.exception)


@pytest.mark.parametrize(
    ("header", "row", "said"),
    [
        ("user_id,thing,time", "u,i,1", "has no column of item_id; it has user_id, thing, time. Name it with --column"),
        ("user_id,item_id", "u,i", "has no column of event_time or position"),
        (
            "user_id,item_id,position",
            "u,,1",
            "events.csv, line 2: column item_id is empty; give every event its item_id",
        ),
        ("user_id,item_id,position", "u,i,one", "events.csv, line 2: column position is 'one'; give a position"),
        ("user_id,item_id,time", "u,i,soon", "events.csv, line 2: column time is 'soon'; give a time"),
        ("user_id,item_id,position,behavior", "u,i,1,", "events.csv, line 2: column behavior is empty"),
    ],
)
def test_a_cell_that_cannot_be_read_is_named_with_its_file_line_and_column(
    header: str, row: str, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "events.csv"
    path.write_text(f"{header}\n{row}\n")
    with pytest.raises(InvalidRequestError) as caught:
        read_events(path)
    assert said in str(caught.value)


def test_columns_may_be_named_and_times_are_read_as_times(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    path.write_text("who,item_id,time\nu,i,2026-01-02\nu,j,2026-01-01\n")
    data = read_events(path, columns={"user_id": "who"})
    assert data.clock == "seconds" and [data.item_ids[row] for row in data.items_E] == ["j", "i"]
    with pytest.raises(InvalidRequestError, match="has no column 'whom'; it has who, item_id, time"):
        read_events(path, columns={"user_id": "whom"})


def test_one_option_names_columns_of_both_files_and_one_that_is_in_neither_is_refused(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    events = tmp_path / "events.csv"
    events.write_text("customer,item_id,position\nu,i1,0\nu,i2,1\n")
    found = read_files(events, files[1], columns={"user_id": "customer", "title": "brand"}, encoders={})
    assert found.data.user_ids == ("u",)
    with pytest.raises(InvalidRequestError, match="--column user_id=customers: no file has that column"):
        read_files(events, files[1], columns={"user_id": "customers"})


def test_an_item_that_is_there_twice_and_vectors_of_two_lengths_are_said(tmp_path: Path) -> None:
    twice = tmp_path / "items.csv"
    twice.write_text("item_id,title\na,A\na,B\n")
    with pytest.raises(InvalidRequestError, match=r"items.csv, line 3: column item_id 'a' is given a second time"):
        read_items(twice)
    ragged = tmp_path / "items.parquet"
    pq.write_table(pa.table({"item_id": ["a", "b"], "v": [[1.0, 2.0], [1.0]]}), ragged)
    with pytest.raises(InvalidRequestError, match=r"items.parquet, row 2: column v has 1 numbers, others 2"):
        read_items(ragged)
    with pytest.raises(NotFoundError, match="no modality 'smell'; there are text, image"):
        features_of(["a"], (), encoders={"smell": "x"})


def test_a_trial_costs_what_its_scores_cost_too(data_set: DataSet, tmp_path: Path) -> None:
    entry = ZooModel(name="busy", options=_FragileOptions, build=_Busy)
    _, task = task_of(data_set, OPTIONS)
    found = tuned(entry, task, data_set.items, num_trials=1, path=tmp_path / "busy.json", key="k", tell=print)
    assert found.cpu_seconds >= _Busy.SPENT_S


def test_three_lines_fit_score_and_recommend(files: tuple[Path, Path]) -> None:
    events, items = files
    trained = fit(events, items=items)
    listed = trained.recommend("u1", num_items=5)
    scores = trained.score("u1", [each.item_id for each in listed])
    assert list(scores.values()) == sorted(scores.values(), reverse=True)
    with events.open() as file:
        seen = {row["item_id"] for row in csv.DictReader(file) if row["user_id"] == "u1"}
    assert seen.isdisjoint(each.item_id for each in listed)
    assert len(trained.recommend("nobody", num_items=3, with_seen=True)) == 3
    with pytest.raises(NotFoundError, match="no item 'i99' among the 30 of the files"):
        trained.score("u1", ["i99"])


def test_the_simulated_set_has_the_funnel_and_the_number_of_events_that_are_asked_for() -> None:
    config = StorefrontConfig(
        seed=7, num_users=300, num_items=200, days=20.0, events_per_user_day=0.6, share_bots=0.0, share_duplicates=0.0
    )
    found = simulated(config, num_events=3_000)
    shares = np.bincount(found.data.behaviors_E, minlength=len(BEHAVIORS)) / len(found.data)
    assert len(found.data) == 3_000 and found.data.num_items == 200
    assert shares == pytest.approx([0.60, 0.15, 0.15, 0.10], abs=0.04)
    assert found.items.present["text"].all() and found.items.labels is not None


@pytest.mark.parametrize("name", sorted(set(DATA_SETS) - {"s3", "taobao_userbehavior_cml"}))
def test_real_sets_are_read_by_name(name: str) -> None:
    if not (public_data() / name).is_dir():
        pytest.skip(f"{name} is not in {public_data()}; set MMREC_DATA_DIR")
    found = read_data_set(name, data_folder=str(public_data()), encoders={})
    expected = {
        "amazon_beauty_sequences": (22_363, 12_101, 198_502),
        "ecomm_tianchi_multibehavior": (1_476, 36_224, 85_213),
        "movielens_small_posters": (671, 9_125, 151_572),
    }
    assert (found.data.num_users, found.data.num_items, len(found.data)) == expected[name]
    assert found.items.labels is not None


def test_a_set_that_is_not_there_is_said_with_where_it_should_be() -> None:
    with pytest.raises(MachineError, match=r"no folder amazon_beauty_sequences in MMREC_DATA_DIR \(not set\)"):
        read_data_set("amazon_beauty_sequences", data_folder="")


def test_a_protocol_is_a_split_and_candidates() -> None:
    found = protocol_named("user80_uniform_19")
    assert (found.split, found.candidates) == ("user80", "uniform_19")
    assert protocol_named("rolling_2_full").split == "rolling_2"
