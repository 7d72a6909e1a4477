"""Warm refits: they begin as what serves, learn what has changed, and leave alone what nothing new is known of."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from mmrec.catalog.item import CatalogEntry
from mmrec.config import Settings
from mmrec.content.matrix import ContentMatrix
from mmrec.errors import ConfigurationError, DeadlineError, IncompatibleStateError, PreconditionError, SettingError
from mmrec.models.bundle import ModelBundle
from mmrec.models.settings import RankerSettings, TowerSettings
from mmrec.training.build import build_examples
from mmrec.training.example_config import ExampleConfig, Part
from mmrec.training.fit_ranker import RankerFitConfig
from mmrec.training.fit_towers import TowerFit, TowerFitConfig, labels_of_part
from mmrec.training.recipe import DeploymentData, train_here
from mmrec.training.refit_recipe import REFIT, RefitOptions
from mmrec.training.run import (
    TrainConfig,
    Trained,
    TrainInputs,
    behavior_ids,
    finish,
    run_tower_epochs,
    start_towers,
)
from mmrec.training.warm_refit import WARM_FROM, check_goes_on, refitted

pytestmark = pytest.mark.usefixtures("one_thread")
NUM_ITEMS, NUM_NEW, NUM_USERS, DAY_S, BEGIN_S = 40, 4, 60, 86_400.0, 1.7e9
TURN_DAYS, END_DAYS = 40.0, 60.0
"""From then on even users like odd items, and new items are there."""
SETTINGS = Settings()
CONFIG = TrainConfig(
    towers=TowerSettings(embedding_dim=16, projected_dim=8, hidden_dim=24, max_history=10),
    ranker=RankerSettings(hidden_dims=(16, 8)),
    fit_towers=TowerFitConfig(max_epochs=4, batch_size=128, learning_rate=1e-2, refit_epochs=1),
    fit_ranker=RankerFitConfig(max_epochs=6, num_negatives=20),
    ranker_kind="network",
)
WINDOW = ExampleConfig(window_days=20.0, towers_fraction=0.34, ranker_fraction=0.33, neighbor_builds=1)


def events(until_days: float) -> pa.Table:
    """Users touch items of their own kind, 40 events each; kinds turn at TURN_DAYS."""
    drawn = np.random.default_rng(0)
    users = np.repeat(np.arange(NUM_USERS), 40)
    days = drawn.uniform(0, END_DAYS, len(users))
    turned = days >= TURN_DAYS
    numbers = drawn.integers(0, NUM_ITEMS // 2, len(users))
    new = turned & (drawn.random(len(users)) < 0.1)
    numbers[new] = NUM_ITEMS // 2 + drawn.integers(0, NUM_NEW // 2, int(new.sum()))
    items, kept = 2 * numbers + (users + turned) % 2, days < until_days
    names = drawn.choice(["browse", "favorite", "cart", "purchase"], len(users), p=[0.6, 0.15, 0.15, 0.1])
    times = BEGIN_S + days * DAY_S
    return pa.table(
        {
            "user_key": [f"u{u}" for u in users[kept]],
            "item_id": [f"i{i:02d}" for i in items[kept]],
            "behavior": names[kept].tolist(),
            **dict.fromkeys(("event_time_s", "known_time_s", "ingest_time_s"), times[kept]),
        }
    )


def entries(num_items: int) -> dict[str, CatalogEntry]:
    names = [f"i{i:02d}" for i in range(num_items)]
    return {name: CatalogEntry(item_id=name, attributes={"parity": str(int(name[1:]) % 2)}) for name in names}


def content_of(item_ids: tuple[str, ...]) -> ContentMatrix:
    """Texts that tell even from odd and every item from others; the last item has none."""
    rows = np.array([int(item_id[1:]) for item_id in item_ids])
    noise_IX = np.random.default_rng(1).standard_normal((NUM_ITEMS + NUM_NEW, 6))[rows]
    side_I = np.where(rows % 2 == 0, 1.0, -1.0)
    present_I = rows != NUM_ITEMS + NUM_NEW - 1
    text = np.where(present_I[:, None], side_I[:, None] + 0.5 * noise_IX, 0.0).astype(np.float32)
    return ContentMatrix(
        item_ids=item_ids, values={"text": text}, present={"text": present_I}, encoders={"text": "planted"}
    )


def inputs_of(until_days: float, config: ExampleConfig, *, num_items: int) -> TrainInputs:
    of_items = entries(num_items)
    built = build_examples(events(until_days), of_items, settings=SETTINGS, config=config)
    content = content_of(built.retrieval.item_ids)
    return TrainInputs(retrieval=built.retrieval, ranking=built.ranking, content=content, entries=of_items)


def unheard(*_: object) -> None:
    """Nobody listens."""


@cache
def served() -> ModelBundle:
    """Trained on what was known before the turn."""
    inputs = inputs_of(TURN_DAYS, ExampleConfig(neighbor_builds=1), num_items=NUM_ITEMS)
    fit = fit_of(inputs)
    run_tower_epochs(fit, inputs, CONFIG, after_epoch=unheard)
    return finish(fit, inputs, settings=SETTINGS, config=CONFIG, progress=unheard).bundle


@cache
def newest() -> TrainInputs:
    """Everything since the turn."""
    return inputs_of(END_DAYS, WINDOW, num_items=NUM_ITEMS + NUM_NEW)


def fit_of(inputs: TrainInputs) -> TowerFit:
    return TowerFit(
        start_towers(inputs, SETTINGS, CONFIG),
        inputs.retrieval,
        behavior_ids=behavior_ids(SETTINGS),
        config=CONFIG.fit_towers,
        max_history=CONFIG.towers.max_history,
    )


@cache
def refit() -> Trained:
    return refitted(
        newest(), served(), warm_from="r1", least_lists=20, settings=SETTINGS, config=CONFIG, progress=unheard
    )


def test_towers_begin_as_those_that_serve_whatever_items_there_are_now() -> None:
    inputs = newest()
    fit = fit_of(inputs)
    fit.model.begin_as(served(), inputs.content)
    fit.model.eval()
    with torch.inference_mode():
        found_ID = fit.model.item_vectors()[:-1].numpy()
    has_content_I = inputs.content.present["text"]
    assert len(inputs.content.item_ids) > len(served().known_item_ids)
    expected_ID = served().item_embeddings(inputs.content)
    assert found_ID[has_content_I] == pytest.approx(expected_ID[has_content_I], abs=1e-5)
    assert float(fit.model.temperature().detach()) == pytest.approx(served().metrics["towers_temperature"], rel=1e-5)
    for name, weight in served().user_tower.state_dict().items():
        assert torch.equal(fit.model.user_tower.state_dict()[name], weight)


def test_an_id_of_which_nothing_new_is_known_stays_as_it_was() -> None:
    inputs = newest()
    fit = fit_of(inputs)
    fit.model.begin_as(served(), inputs.content)
    labels = labels_of_part(inputs.retrieval, Part.TOWERS, max_history=CONFIG.towers.max_history)
    first = int(inputs.retrieval.label_rows_N[labels[0]])
    others = labels[inputs.retrieval.label_rows_N[labels] != first]
    fit.run_epoch(others)
    row = served().known_item_ids.index(inputs.content.item_ids[first])
    settled = fit.model.item_tower.settled_ids()
    assert torch.equal(settled.ids.weight[first], served().item_tower.ids.weight[row])
    assert settled.kept_ids_ID is None
    rows = [served().known_item_ids.index(item_id) for item_id in inputs.content.item_ids[:NUM_ITEMS]]
    moved_I = (settled.ids.weight[:NUM_ITEMS] != served().item_tower.ids.weight[rows]).any(dim=1)
    assert moved_I.float().mean() > 0.6, "in two steps, some of them without some ids"
    fit.model.eval()
    settled.eval()
    with torch.inference_mode():
        everything = torch.arange(len(inputs.content))
        again_ID = settled(fit.model.projected_IMP, fit.model.present_IM, everything)
        assert torch.allclose(again_ID, fit.model.item_vectors()[:-1], atol=1e-6)


def test_a_refit_learns_what_has_turned_and_says_what_it_went_on_from() -> None:
    metrics = refit().bundle.metrics
    assert metrics[WARM_FROM] == "r1"
    assert metrics["ndcg_at_10"] > metrics["ndcg_at_10_served"] + 0.02
    assert metrics["validation_lists"] >= 20


def test_a_refit_knows_items_that_came_since(tmp_path: Path) -> None:
    refit().bundle.save(tmp_path)
    bundle = ModelBundle.load(tmp_path)
    new = [f"i{NUM_ITEMS + number:02d}" for number in range(NUM_NEW)]
    assert set(new) <= set(bundle.known_item_ids)
    rows = [bundle.known_item_ids.index(item_id) for item_id in new]
    assert bundle.item_tower.ids.weight[rows].any(dim=1).all()


def test_the_served_model_is_not_changed() -> None:
    before = {name: weight.clone() for name, weight in served().item_tower.state_dict().items()}
    ranker = {name: weight.clone() for name, weight in served().ranker.state_dict().items()}
    refit()
    assert all(torch.equal(served().item_tower.state_dict()[name], weight) for name, weight in before.items())
    assert all(torch.equal(served().ranker.state_dict()[name], weight) for name, weight in ranker.items())


def test_a_model_that_cannot_go_on_is_refused_with_every_reason() -> None:
    other = replace(served(), behavior_ids=(1, 2), tower_settings=replace(served().tower_settings, id_buckets=8))
    with pytest.raises(IncompatibleStateError, match=r"behaviors of ids \(1, 2\).*share rows by hash.*from the start"):
        check_goes_on(other, newest(), SETTINGS)
    strange = replace(newest(), content=replace(newest().content, encoders={"text": "another"}))
    with pytest.raises(IncompatibleStateError, match=r"its text content was made by other encoders"):
        check_goes_on(served(), strange, SETTINGS)
    with pytest.raises(IncompatibleStateError, match=r"it reads content \{'text': 5\}, and there is \{'text': 6\}"):
        check_goes_on(replace(served(), content_dims={"text": 5}), newest(), SETTINGS)


def test_with_few_lists_nothing_is_refitted() -> None:
    with pytest.raises(PreconditionError, match=r"lists of the newest part .* at least 100000 are needed"):
        refitted(
            newest(), served(), warm_from="r1", least_lists=100_000, settings=SETTINGS, config=CONFIG, progress=unheard
        )


@pytest.mark.parametrize("days", [0.0, 1e9])
def test_without_a_window_or_with_a_long_one_all_events_are_labels(days: float) -> None:
    whole, windowed = (
        build_examples(events(30.0), {}, settings=SETTINGS, config=ExampleConfig(window_days=each, neighbor_builds=1))
        for each in (0.0, days)
    )
    assert windowed.retrieval.label_times_N.tolist() == whole.retrieval.label_times_N.tolist()
    assert windowed.report["retrieval_dropped"]["before_the_window"] == 0


def test_labels_are_of_the_window_and_histories_reach_back_before_it() -> None:
    found = newest().retrieval
    end_s = max(events(END_DAYS)["event_time_s"].to_pylist())
    assert found.label_times_N.min() >= end_s - 20.0 * DAY_S
    assert (np.bincount(found.parts_N) > 0.2 * len(found)).all(), "the parts divide the window"
    first = int(np.argmin(found.label_times_N))
    oldest_s = found.label_times_N[first] - found.history_ages_s_E[found.history_offsets[first]]
    assert oldest_s < end_s - 20.0 * DAY_S


def deployment() -> DeploymentData:
    return DeploymentData(
        settings=SETTINGS,
        content=lambda: newest().content,
        entries=lambda ids: {each: newest().entries[each] for each in ids},
        items=lambda: iter(()),
    )


def written(folder: Path) -> RefitOptions:
    served().save(folder / "served")
    build_examples(events(END_DAYS), entries(NUM_ITEMS + NUM_NEW), settings=SETTINGS, config=WINDOW).save(
        folder / "examples"
    )
    return RefitOptions(
        examples=str(folder / "examples"), model=str(folder / "served"), warm_from="r7", epochs=1, max_lists=60
    )


def test_the_recipe_leaves_a_model_that_serves_and_its_figures(tmp_path: Path) -> None:
    train_here(REFIT, written(tmp_path), deployment(), out=tmp_path / "model")
    bundle = ModelBundle.load(tmp_path / "model")
    assert bundle.metrics[WARM_FROM] == "r7" and (tmp_path / "model" / "metrics.json").exists()
    assert bundle.tower_settings == served().tower_settings


def test_a_refit_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    with pytest.raises(DeadlineError, match=r"the refit took more than 1e-09 minutes, after "):
        train_here(REFIT, replace(written(tmp_path), max_minutes=1e-9), deployment(), out=tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_a_recipe_without_model_or_examples_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no model in nowhere; give --model"):
        REFIT.prepare(RefitOptions(), deployment())
    served().save(tmp_path)
    with pytest.raises(ConfigurationError, match=r"no examples in .*; run `python -m jobs.build_examples`"):
        REFIT.prepare(RefitOptions(model=str(tmp_path), examples=str(tmp_path / "none")), deployment())
    with pytest.raises(SettingError, match=r"training.refit.every_minutes is -1"):
        RefitOptions(every_minutes=-1.0)
