"""Fitting towers and ranker: planted worlds whose right answer is known, resuming, and what is left out of labels."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch

from mmrec.catalog.item import CatalogEntry
from mmrec.config import Settings
from mmrec.content.matrix import ContentMatrix
from mmrec.errors import ConfigurationError
from mmrec.features.assemble import feature_names
from mmrec.models.bundle import ModelBundle
from mmrec.models.losses import log_utility
from mmrec.models.ranker import Ranker
from mmrec.models.settings import RankerSettings, TowerSettings
from mmrec.training.build import BuiltExamples, build_examples
from mmrec.training.checkpoint import RUN_FORMAT, ProgressFile, open_run, restore_state, save_state, write_trained
from mmrec.training.example_config import ExampleConfig, Part
from mmrec.training.examples import NOT_A_LABEL
from mmrec.training.figures import RankingFigures
from mmrec.training.fit_ranker import RankerFitConfig, fit_ranker, joined, list_tensors, ranker_loss
from mmrec.training.fit_towers import TowerFit, TowerFitConfig, labels_of_part
from mmrec.training.ranking_rows import RankedList
from mmrec.training.run import (
    TrainConfig,
    Trained,
    TrainInputs,
    Workbench,
    behavior_ids,
    finish,
    run_tower_epochs,
    start_towers,
)

NUM_ITEMS, NUM_USERS, DAY_S = 40, 60, 86_400.0
SETTINGS = Settings()
CONFIG = TrainConfig(
    towers=TowerSettings(embedding_dim=16, projected_dim=8, hidden_dim=24, max_history=10),
    ranker=RankerSettings(hidden_dims=(16, 8)),
    fit_towers=TowerFitConfig(max_epochs=4, batch_size=128, learning_rate=1e-2, refit_epochs=1),
    fit_ranker=RankerFitConfig(max_epochs=8, num_negatives=20),
)


def planted_events(seed: int = 0) -> pa.Table:
    """Even users touch even items, odd users odd ones; 30 events each over 60 days."""
    drawn = np.random.default_rng(seed)
    users = np.repeat(np.arange(NUM_USERS), 30)
    items = 2 * drawn.integers(0, NUM_ITEMS // 2, len(users)) + users % 2
    times = 1.7e9 + drawn.uniform(0, 60 * DAY_S, len(users))
    names = drawn.choice(["browse", "favorite", "cart", "purchase"], len(users), p=[0.6, 0.15, 0.15, 0.1])
    return pa.table(
        {
            "user_key": [f"u{u}" for u in users],
            "item_id": [f"i{i:02d}" for i in items],
            "behavior": names.tolist(),
            "event_time_s": times,
            "known_time_s": times,
            "ingest_time_s": times,
        }
    )


@pytest.fixture(scope="module")
def world() -> tuple[BuiltExamples, TrainInputs]:
    entries = {
        f"i{i:02d}": CatalogEntry(item_id=f"i{i:02d}", attributes={"parity": "even" if i % 2 == 0 else "odd"})
        for i in range(NUM_ITEMS)
    }
    built = build_examples(
        planted_events(),
        entries,
        settings=SETTINGS,
        config=ExampleConfig(towers_fraction=0.6, ranker_fraction=0.25, neighbor_builds=2),
    )
    ids = built.retrieval.item_ids
    drawn = np.random.default_rng(1)
    side = np.array([1.0 if int(item_id[1:]) % 2 == 0 else -1.0 for item_id in ids])
    text = (side[:, None] * np.ones(6) + 0.5 * drawn.standard_normal((len(ids), 6))).astype(np.float32)
    image = drawn.standard_normal((len(ids), 5)).astype(np.float32)
    content = ContentMatrix(
        item_ids=ids,
        values={"text": text, "image": image},
        present={"text": np.ones(len(ids), bool), "image": drawn.random(len(ids)) < 0.7},
        encoders={"text": "planted", "image": "noise"},
    )
    return built, TrainInputs(retrieval=built.retrieval, ranking=built.ranking, content=content, entries=entries)


def tower_fit(inputs: TrainInputs, config: TrainConfig = CONFIG) -> TowerFit:
    return TowerFit(
        start_towers(inputs, SETTINGS, config),
        inputs.retrieval,
        behavior_ids=behavior_ids(SETTINGS),
        config=config.fit_towers,
        max_history=config.towers.max_history,
    )


def test_towers_learn_that_even_users_like_even_items(world) -> None:
    _, inputs = world
    fit = tower_fit(inputs)
    run_tower_epochs(fit, inputs, CONFIG, after_epoch=lambda figures, best: None)
    assert fit.curves[-1]["loss"] < fit.curves[0]["loss"]
    labels = labels_of_part(inputs.retrieval, Part.VALIDATION, max_history=10)
    # 20 of 40 items are of the right kind, a few of them in the history: all others must come behind.
    assert (fit.ranks(labels) <= NUM_ITEMS // 2).mean() > 0.95


def test_sampled_softmax_learns_the_same_world(world) -> None:
    _, inputs = world
    config = replace(CONFIG, fit_towers=replace(CONFIG.fit_towers, max_items_full=10, num_uniform=24))
    fit = tower_fit(inputs, config)
    run_tower_epochs(fit, inputs, config, after_epoch=lambda figures, best: None)
    labels = labels_of_part(inputs.retrieval, Part.VALIDATION, max_history=10)
    assert (fit.ranks(labels) <= NUM_ITEMS // 2).mean() > 0.9


def test_a_resumed_fit_ends_where_an_uninterrupted_one_does(world, tmp_path) -> None:
    _, inputs = world
    labels = labels_of_part(inputs.retrieval, Part.TOWERS, max_history=10)
    whole = tower_fit(inputs)
    for _ in range(3):
        whole.run_epoch(labels)
    broken = tower_fit(inputs)
    broken.run_epoch(labels)
    save_state(broken, tmp_path)
    resumed = tower_fit(inputs)
    restore_state(resumed, tmp_path)
    for _ in range(2):
        resumed.run_epoch(labels)
    assert [c["loss"] for c in resumed.curves] == [c["loss"] for c in whole.curves]
    for name, value in whole.model.state_dict().items():
        torch.testing.assert_close(resumed.model.state_dict()[name], value, rtol=0, atol=0)


def test_labels_of_the_towers_are_new_to_the_user_and_could_be_shown(world) -> None:
    _, inputs = world
    examples = inputs.retrieval
    labels = labels_of_part(examples, Part.TOWERS, max_history=10)
    histories = examples.histories(labels, max_length=10)
    assert not (histories.rows_NL == examples.label_rows_N[labels][:, None]).any()
    assert not examples.hidden_N[labels].any()
    assert (histories.rows_NL >= 0).any(axis=1).all()


def test_a_run_beats_popularity_and_its_bundle_serves(world, tmp_path) -> None:
    _, inputs = world
    fit = tower_fit(inputs)
    run_tower_epochs(fit, inputs, CONFIG, after_epoch=lambda figures, best: None)
    told: list[str] = []
    trained = finish(
        fit.alone(), inputs, settings=SETTINGS, config=CONFIG, progress=lambda event, figures: told.append(event)
    )
    metrics = trained.bundle.metrics
    assert metrics["hr_at_10"] > metrics["hr_at_10_popularity"] + 0.1, metrics
    fitted, refitted = ["ranker_lists", "ranker_fitted"], ["towers_refitted"]
    assert told == [*fitted, *refitted, "validated", "ranker_fitted", *refitted]
    write_trained(trained, tmp_path / "model")
    loaded = ModelBundle.load(tmp_path / "model")
    assert loaded.feature_names == feature_names(SETTINGS.behaviors, num_half_lives=3)
    vectors = loaded.item_embeddings(inputs.content)
    assert vectors.shape == (len(inputs.content), 16)
    unseen = replace(inputs.content.select(["i00"]), item_ids=("new",))
    even = np.array([int(item_id[1:]) % 2 == 0 for item_id in inputs.content.item_ids])
    # A new item of known content lies with its kind, though the model never met its id.
    similarity = vectors @ loaded.item_embeddings(unseen)[0]
    assert similarity[even].mean() > similarity[~even].mean() + 0.3


def test_towers_need_content(world) -> None:
    _, inputs = world
    ids = inputs.content.item_ids
    nothing = ContentMatrix(item_ids=ids, values={}, present={}, encoders={})
    with pytest.raises(ConfigurationError, match="encode_items"):
        start_towers(replace(inputs, content=nothing), SETTINGS, CONFIG)
    with pytest.raises(ConfigurationError, match="select"):
        start_towers(replace(inputs, content=inputs.content.select(ids[::-1])), SETTINGS, CONFIG)


def ranked_list(drawn: np.random.Generator, *, proposed: bool = True) -> RankedList:
    """12 candidates; the one with the highest second feature is bought."""
    features = drawn.standard_normal((12, 3)).astype(np.float32)
    labels = np.full(12, NOT_A_LABEL, dtype=np.int16)
    labels[int(features[:, 1].argmax())] = 3
    return RankedList(
        rows_N=np.arange(12),
        features_NF=features,
        labels_N=labels,
        next_N=labels != NOT_A_LABEL,
        proposed_N=(labels == NOT_A_LABEL) | proposed,
        own_N=np.zeros(12, bool),
        popularity_N=np.zeros(12),
        neighbor_N=np.zeros(12),
        tower_N=np.zeros(12),
        recall_N=np.zeros(12),
    )


def test_the_ranker_finds_the_feature_that_decides() -> None:
    drawn = np.random.default_rng(0)
    lists = [ranked_list(drawn) for _ in range(300)]
    config = RankerFitConfig(max_epochs=15, learning_rate=1e-2)
    weights = SETTINGS.behaviors.weights_B
    tensors = list_tensors(lists, weights_B=weights, config=config)
    assert tensors is not None
    torch.manual_seed(0)
    ranker = Ranker(RankerSettings(hidden_dims=(8,)), num_features=3, behavior_weights=tuple(weights.tolist()))
    fit_ranker(ranker, tensors, config=config)
    with torch.inference_mode():
        best = log_utility(ranker(tensors.features_GCF), ranker.weights_B).argmax(1)
    assert (best == tensors.gains_GC.argmax(1)).float().mean() > 0.85


def test_a_label_that_nobody_proposed_is_no_training_example() -> None:
    drawn = np.random.default_rng(0)
    lists = [ranked_list(drawn, proposed=False), ranked_list(drawn)]
    kept = list_tensors(lists, weights_B=SETTINGS.behaviors.weights_B, config=RankerFitConfig())
    assert kept is not None
    assert len(kept) == 1
    assert list_tensors(lists[:1], weights_B=SETTINGS.behaviors.weights_B, config=RankerFitConfig()) is None


def test_a_later_label_that_nobody_proposed_changes_no_figure() -> None:
    drawn = np.random.default_rng(0)
    one = ranked_list(drawn)
    one = replace(one, tower_N=one.features_NF[:, 1].astype(float), popularity_N=drawn.random(12))
    scores = drawn.random(12)
    extra = {"next_N": False, "proposed_N": False, "own_N": False, "labels_N": 3, "rows_N": 12}
    wider = replace(
        one,
        features_NF=np.append(one.features_NF, one.features_NF[:1], axis=0),
        # It would stand before everything else.
        **{name: np.append(getattr(one, name), 9.0) for name in ("popularity_N", "neighbor_N", "tower_N", "recall_N")},
        **{name: np.append(getattr(one, name), np.array(v, getattr(one, name).dtype)) for name, v in extra.items()},
    )
    narrow_figures, wide_figures = RankingFigures(seed=1), RankingFigures(seed=1)
    narrow_figures.add(one, scores)
    wide_figures.add(wider, np.append(scores, 9.0))
    found = narrow_figures.summary()
    assert found["ndcg_at_10_towers"] == 1.0
    assert wide_figures.summary() == found


def test_joined_lists_are_learned_from_as_they_were() -> None:
    drawn, weights = np.random.default_rng(0), SETTINGS.behaviors.weights_B
    lists = [ranked_list(drawn) for _ in range(5)]
    narrow = list_tensors(lists[:3], weights_B=weights, config=RankerFitConfig(num_negatives=4))
    wide = list_tensors(lists[3:], weights_B=weights, config=RankerFitConfig())
    assert narrow is not None
    assert wide is not None
    both = joined(narrow, None, wide)
    assert both is not None
    torch.manual_seed(0)
    ranker = Ranker(RankerSettings(hidden_dims=(8,)), num_features=3, behavior_weights=tuple(weights.tolist())).eval()
    for rows, alone in ((torch.arange(3), narrow), (torch.arange(3, 5), wide)):
        expected = ranker_loss(ranker, alone, config=RankerFitConfig())
        torch.testing.assert_close(ranker_loss(ranker, both.take(rows), config=RankerFitConfig()), expected)
    assert joined(None, None) is None


def test_another_piece_of_work_starts_a_run_anew(tmp_path) -> None:
    assert not open_run(tmp_path / "run", describes="a")
    progress = ProgressFile(tmp_path / "run")
    progress.write("epoch", {"loss": 1.0})
    assert open_run(tmp_path / "run", describes="a")
    assert progress.new_lines() == [{"event": "epoch", "loss": 1.0}]
    assert progress.new_lines() == []
    assert not open_run(tmp_path / "run", describes="b")
    assert ProgressFile(tmp_path / "run").new_lines() == []


def test_a_run_whose_checkpoints_are_of_another_format_starts_anew(tmp_path) -> None:
    assert not open_run(tmp_path / "run", describes="a")
    mark, old = tmp_path / "run" / "describes.txt", tmp_path / "run" / "checkpoint" / "state.pt"
    old.parent.mkdir()
    old.touch()
    # Before there were formats, the text stood there alone.
    mark.write_text("a", encoding="utf-8")
    assert not open_run(tmp_path / "run", describes="a")
    assert not old.exists()
    mark.write_text(mark.read_text(encoding="utf-8").replace(RUN_FORMAT, "1", 1), encoding="utf-8")
    assert not open_run(tmp_path / "run", describes="a")
    assert open_run(tmp_path / "run", describes="a")


def dropped(inputs: TrainInputs, part: Part) -> TrainInputs:
    """The same without the labels and lists of a part: what there was before it began."""
    nothing = np.uint8(99)

    def without(parts_N: np.ndarray) -> np.ndarray:
        return np.where(parts_N == part, nothing, parts_N)

    return replace(
        inputs,
        retrieval=replace(inputs.retrieval, parts_N=without(inputs.retrieval.parts_N)),
        ranking=replace(inputs.ranking, parts_N=without(inputs.ranking.parts_N)),
    )


def test_figures_are_those_of_what_ships_one_part_earlier(world) -> None:
    _, inputs = world

    def trained(given: TrainInputs) -> Trained:
        fit = tower_fit(given)
        run_tower_epochs(fit, given, CONFIG, after_epoch=lambda figures, best: None)
        return finish(fit, given, settings=SETTINGS, config=CONFIG, progress=lambda event, figures: None)

    # Every sixth list is enough to tell one order of steps from another.
    numbers = np.arange(len(inputs.ranking))
    few = np.where(numbers % 6 == 0, inputs.ranking.parts_N, np.uint8(99))
    inputs = replace(inputs, ranking=replace(inputs.ranking, parts_N=few))
    whole, earlier = trained(inputs), trained(dropped(inputs, Part.VALIDATION))
    judged = Workbench(inputs, settings=SETTINGS, config=CONFIG).judged(earlier.bundle).figures
    measured = {name: whole.bundle.metrics[name] for name in judged}
    assert measured == judged
    assert {"hr_at_10", "ndcg_at_10", "hr_at_10_towers"} <= set(judged)
    # What was there before the refit stands beside it, and what ships has learned from the newest part.
    assert whole.bundle.metrics["ndcg_at_10_towers_train_only"] != whole.bundle.metrics["ndcg_at_10_towers"]
    assert whole.bundle.metrics["ranker_lists_refit"] > whole.bundle.metrics["ranker_lists"] > 0
    shipped, before = whole.bundle.item_embeddings(inputs.content), earlier.bundle.item_embeddings(inputs.content)
    assert not np.allclose(shipped, before)
    rows = np.random.default_rng(0).standard_normal((5, len(whole.bundle.feature_names))).astype(np.float32)
    assert not np.allclose(whole.bundle.rank(rows), earlier.bundle.rank(rows))


def test_towers_that_collapsed_get_what_chance_gets_and_diverged_ones_nothing(world) -> None:
    _, inputs = world
    fit = tower_fit(inputs)
    labels = np.concatenate([labels_of_part(inputs.retrieval, part, max_history=10) for part in Part])
    lists = inputs.retrieval.histories(labels, max_length=10).rows_NL
    open_N = np.array([NUM_ITEMS - len({row for row in rows if row >= 0}) for rows in lists.tolist()])
    by_popularity = fit.ranks(labels, scores_I=np.full(NUM_ITEMS, 0.5, dtype=np.float32))
    with torch.no_grad():
        for parameter in fit.model.parameters():
            parameter.fill_(0.0)
    for ranks in (by_popularity, fit.ranks(labels)):
        for k in (1, 5, 10):
            assert (ranks <= k).mean() == pytest.approx((k / open_N).mean(), abs=4 * np.sqrt(0.25 / len(labels)))
    with torch.no_grad():
        for parameter in fit.model.parameters():
            parameter.fill_(float("nan"))
    assert fit.ranks(labels).min() > NUM_ITEMS - 11
