"""What is learned from lists: trees beside the network, their calibration and text, weights of recall sources."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from mmrec.errors import IncompatibleStateError, SettingError
from mmrec.models.bundle import ModelBundle
from mmrec.models.ranker import Ranker
from mmrec.models.settings import RankerSettings
from mmrec.models.trees import FILE, Calibration, TreeRanker
from mmrec.recall.source import Proposals
from mmrec.recall.sources.registry import SOURCES
from mmrec.training.choose_ranker import RankerKind, fit_rankers, list_ndcg, network_scores, tree_scores
from mmrec.training.fit_ranker import ListTensors, RankerFitConfig, held_out_split
from mmrec.training.fit_sources import SourceFitConfig, fit_sources, fused_ndcg, learned_weights, source_lists
from mmrec.training.fit_trees import TreesFitConfig, fit_trees
from tests.unit.test_models import bundle

NAMES = ("neighbor_score_log", "own_touched", "noise")
WEIGHTS_B = (1.0, 10.0)
TREES = TreesFitConfig(max_rounds=60, min_rows_in_leaf=20, feature_share=1.0)
NETWORK = RankerFitConfig(max_epochs=6, learning_rate=1e-2)


def planted(num_lists: int = 200, *, width: int = 12, copies: float = 1.0, seed: int = 0) -> ListTensors:
    """The candidate that is nearest to 0 in the second feature is bought: no slope finds it, one split on each side."""
    drawn = np.random.default_rng(seed)
    features = drawn.standard_normal((num_lists, width, len(NAMES))).astype(np.float32)
    gains = np.zeros((num_lists, width), dtype=np.float32)
    gains[np.arange(num_lists), np.abs(features[:, :, 1]).argmin(axis=1)] = 10.0
    # What followed stands first, as lists for training have it.
    order = np.argsort(-gains, axis=1, kind="stable")
    features, gains = np.take_along_axis(features, order[:, :, None], axis=1), np.take_along_axis(gains, order, axis=1)
    labels = np.stack([np.zeros_like(gains), gains / 10.0], axis=2)
    return ListTensors(
        features_GCF=torch.from_numpy(features),
        labels_GCB=torch.from_numpy(labels),
        gains_GC=torch.from_numpy(gains),
        valid_GC=torch.ones(num_lists, width, dtype=torch.bool),
        copies_GC=torch.where(torch.from_numpy(gains) > 0, 1.0, copies),
    )


def chosen(lists: ListTensors | None, kind: RankerKind = "better") -> Any:
    torch.manual_seed(0)
    fresh = Ranker(RankerSettings(hidden_dims=(4,)), num_features=len(NAMES), behavior_weights=WEIGHTS_B)
    return fit_rankers(fresh, lists, kind=kind, feature_names=NAMES, network=NETWORK, trees=TREES)


def fitted_trees(lists: ListTensors, names: tuple[str, ...] = NAMES) -> TreeRanker:
    return fit_trees(lists, feature_names=names, config=TREES, held_out=0.2)


def test_trees_find_what_no_slope_finds_and_the_same_lists_give_the_same_trees() -> None:
    lists = planted()
    trees = fitted_trees(lists)
    assert list_ndcg(tree_scores(trees, planted(seed=1)), planted(seed=1)) > 0.8
    assert fitted_trees(lists).text == trees.text


def test_a_higher_neighbor_score_never_takes_an_item_down() -> None:
    lists = planted()
    # Whoever has many neighbors is bought less, as far as these lists say.
    features = lists.features_GCF.clone()
    features[:, :, 0] = -2.0 * lists.gains_GC + 0.1 * features[:, :, 0]
    misleading = replace(lists, features_GCF=features)
    rows = np.zeros((50, 3), dtype=np.float32)
    rows[:, 0] = np.linspace(-25.0, 5.0, 50)
    assert (np.diff(fitted_trees(misleading)(rows)) >= 0).all()
    free = fitted_trees(misleading, ("other", "own_touched", "noise"))(rows)
    assert free[0] > free[-1]


def test_scores_are_logs_of_the_utility_that_is_to_be_expected_of_all_candidates() -> None:
    lists = planted(copies=5.0)
    _, judged = held_out_split(lists, 0.2)
    expected = np.exp(tree_scores(fitted_trees(lists), judged)) * judged.copies_GC.numpy()
    assert expected.sum() == pytest.approx(float(judged.gains_GC.sum()), rel=0.02)


def test_the_network_expects_of_a_draw_what_is_in_the_whole() -> None:
    lists = planted(400, copies=5.0)
    copies_GC, seen = lists.copies_GC.numpy(), float(lists.gains_GC.sum())

    def expected(of: ListTensors) -> float:
        return float((np.exp(network_scores(chosen(of, "network").network, lists)) * copies_GC).sum())

    assert 0.5 < expected(lists) / seen < 2.0
    assert expected(replace(lists, copies_GC=torch.ones_like(lists.copies_GC))) > 1.3 * expected(lists)


def test_equal_scores_get_the_middle_rank_wherever_labels_stand() -> None:
    lists = planted(3, width=5)
    assert list_ndcg(np.zeros((3, 5)), lists) == pytest.approx(1 / np.log2(1 + 3))
    assert list_ndcg(lists.gains_GC.numpy().astype(float), lists) == 1.0
    assert list_ndcg(np.zeros((0, 5)), lists.take(torch.arange(0))) == 0.0


def test_the_better_one_on_the_latest_lists_ranks() -> None:
    found = chosen(planted())
    assert found.figures["ranker_ndcg_trees"] > found.figures["ranker_ndcg_network"]
    assert found.trees is not None
    assert found.figures["ranker_is_trees"] == 1.0
    network = chosen(planted(), "network")
    assert network.trees is None
    assert list(network.kept_forms()) == ["onnx", "numpy"]
    assert network.kept_forms()["onnx"] == pytest.approx(network.figures["ranker_ndcg_network"], abs=1e-3)
    assert found.kept_forms() == {}
    forced = chosen(planted(), "trees")
    assert forced.trees is not None
    assert "ranker_ndcg_network" not in forced.figures
    # Too few to hold any out: nothing says which one is better.
    few = chosen(planted(8))
    assert few.trees is None
    assert few.figures == {"ranker_is_trees": 0.0}
    assert chosen(None).trees is None


def test_a_saved_bundle_ranks_by_its_trees_and_refuses_others(tmp_path) -> None:
    lists = planted()
    trees = fitted_trees(lists)
    wide = replace(lists, features_GCF=lists.features_GCF.repeat(1, 1, 3))
    made = replace(bundle(), trees=fitted_trees(wide, tuple(f"f{n}" for n in range(9))))
    made.save(tmp_path)
    rows = np.random.default_rng(0).normal(size=(20, 9)).astype(np.float32)
    loaded = ModelBundle.load(tmp_path)
    np.testing.assert_array_equal(loaded.rank(rows), made.rank(rows))
    assert len(loaded.rank(rows[:0])) == 0
    assert not np.allclose(loaded.rank(rows), bundle().rank(rows))
    (tmp_path / FILE).write_text(trees.text)
    with pytest.raises(IncompatibleStateError, match="rows of 3 features, the model has 9"):
        ModelBundle.load(tmp_path)
    (tmp_path / FILE).write_text("tree\nnot really")
    with pytest.raises(IncompatibleStateError, match="train and publish again"):
        ModelBundle.load(tmp_path)
    (tmp_path / FILE).write_bytes(b"\x80\x04 pickled")
    with pytest.raises(IncompatibleStateError, match="train and publish again"):
        ModelBundle.load(tmp_path)
    bundle().save(tmp_path)
    assert not (tmp_path / FILE).exists()
    assert ModelBundle.load(tmp_path).trees is None


@pytest.mark.parametrize("refused", [{"slope": 0.0}, {"mean_gain": -1.0}, {"intercept": float("nan")}])
def test_a_calibration_that_turns_the_order_around_cannot_be_made(refused: dict[str, float]) -> None:
    with pytest.raises(SettingError, match=f"calibration.{next(iter(refused))} is"):
        Calibration(**{"slope": 1.0, "intercept": 0.0, "mean_gain": 1.0, **refused})


def asked(num_lists: int, *, good: int, seed: int = 0) -> list[Any]:
    """Each source proposes 30 of 200 items at random; the source at place `good` puts the label first."""
    drawn = np.random.default_rng(seed)
    made = []
    for _ in range(num_lists):
        found, label = [], int(drawn.integers(200))
        for place, source in enumerate(SOURCES):
            rows = drawn.permutation(200)[:30]
            if place == good:
                rows = np.concatenate([[label], rows[rows != label]])
            found.append((source, Proposals(rows_K=rows, scores_K=-np.arange(len(rows), dtype=float))))
        made.append((tuple(found), np.array([label])))
    return made


@pytest.mark.parametrize("good", range(len(SOURCES)))
def test_the_source_that_is_right_counts_most_and_none_counts_nothing(good: int) -> None:
    lists = source_lists(asked(200, good=good))
    fitted = fit_sources(lists, SOURCES, num_candidates=50, config=SourceFitConfig(least_share=0.1))
    weights = np.array([fitted.weights[source.name] for source in SOURCES])
    assert weights.argmax() == good
    assert weights.min() == pytest.approx(0.1 * weights.max())
    assert weights.sum() == pytest.approx(sum(source.weight for source in SOURCES))
    assert fitted.figures["sources_ndcg_learned"] > fitted.figures["sources_ndcg_own"]


def test_sources_keep_their_own_weights_where_lists_are_few_or_say_nothing() -> None:
    few = fit_sources(source_lists(asked(30, good=1)), SOURCES, num_candidates=50, config=SourceFitConfig())
    assert few.weights == {}
    assert fit_sources([], SOURCES, num_candidates=50, config=SourceFitConfig()).weights == {}
    told = SourceFitConfig(weights="own")
    assert fit_sources(source_lists(asked(200, good=1)), SOURCES, num_candidates=50, config=told).weights == {}
    own_S = np.array([source.weight for source in SOURCES])
    nothing = Proposals(rows_K=np.zeros(0, dtype=np.int64), scores_K=np.zeros(0))
    silent = [((*found[:-1], (found[-1][0], nothing)), labels) for found, labels in asked(60, good=0)]
    learned_S = learned_weights(source_lists(silent), own_S, config=SourceFitConfig())
    assert learned_S[-1] == own_S[-1]


def test_lists_without_a_proposed_label_say_nothing_and_a_cut_order_misses() -> None:
    made = asked(5, good=0)
    unfound = [(found, np.array([999])) for found, _ in made]
    assert source_lists(unfound) == []
    lists = source_lists(made)
    only_first = np.array([1.0, 0.0, 0.0, 0.0, 0.0])
    assert fused_ndcg(lists, only_first, depth=1) == 1.0
    assert fused_ndcg(lists, only_first[::-1], depth=1) < 1.0
    assert fused_ndcg([], only_first, depth=1) == 0.0
