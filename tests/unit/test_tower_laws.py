"""Laws of fitting towers: what ids may say, which epoch stays, what a step draws and touches."""

from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
import torch

from mmrec.content.matrix import ContentMatrix
from mmrec.errors import ConfigurationError
from mmrec.models.settings import TowerSettings
from mmrec.training.example_config import Part
from mmrec.training.examples import RetrievalExamples
from mmrec.training.fit_towers import TowerFit, TowerFitConfig, TwoTowers, labels_of_part
from mmrec.training.tower_data import joint_batches, make_batch
from mmrec.training.tower_sequences import one_by_one, sequence_batch
from mmrec.training.workers import Workers

NUM_ITEMS, MAX_HISTORY = 60, 6
COLD = np.arange(50, NUM_ITEMS)
"""Items that nobody touches; their content is that of items 0 to 9."""
TOWERS = TowerSettings(embedding_dim=16, projected_dim=8, hidden_dim=24, max_history=MAX_HISTORY, id_shrinkage=5.0)
CONFIG = TowerFitConfig(max_epochs=3, patience=3, batch_size=32, learning_rate=2e-2, image_text_weight=0.0)


def drawn_examples(num_labels: int = 600, num_items: int = NUM_ITEMS, seed: int = 0) -> RetrievalExamples:
    """Labels and histories that keep to the even or the odd items, and leave out those of COLD."""
    drawn = np.random.default_rng(seed)
    num_touched = num_items - len(COLD)
    lengths = drawn.integers(0, MAX_HISTORY + 3, num_labels)
    offsets = np.append(0, np.cumsum(lengths))
    sides = drawn.integers(0, 2, num_labels)
    # Squared: a few items have most of the labels.
    items = (2 * (num_touched // 2 * drawn.random((num_labels, 1)) ** 2).astype(int)[:, 0] + sides).astype(np.int32)
    history = 2 * drawn.integers(0, num_touched // 2, offsets[-1]) + np.repeat(sides, lengths)
    parts = np.repeat([Part.TOWERS, Part.RANKER, Part.VALIDATION], [num_labels - 200, 100, 100])
    return RetrievalExamples(
        item_ids=tuple(f"i{i}" for i in range(num_items)),
        history_offsets=offsets,
        history_rows_E=history.astype(np.int32),
        history_behavior_ids_E=np.ones(offsets[-1], np.uint8),
        history_ages_s_E=drawn.uniform(0, 1e6, offsets[-1]).astype(np.float32),
        label_rows_N=items,
        label_behavior_ids_N=np.ones(num_labels, np.uint8),
        label_times_N=np.arange(num_labels, dtype=float),
        label_weights_N=drawn.choice([1.0, 5.0], num_labels),
        user_index_N=np.arange(num_labels, dtype=np.int32),
        parts_N=parts.astype(np.uint8),
        hidden_N=drawn.random(num_labels) < 0.1,
    )


def drawn_content(num_items: int = NUM_ITEMS) -> ContentMatrix:
    drawn = np.random.default_rng(3)
    side = np.where(np.arange(num_items) % 2 == 0, 1.0, -1.0)
    text = (side[:, None] + drawn.standard_normal((num_items, 6))).astype(np.float32)
    text[num_items - len(COLD) :] = text[: len(COLD)]
    image = drawn.standard_normal((num_items, 5)).astype(np.float32)
    present = drawn.random(num_items) < 0.8
    return ContentMatrix(
        item_ids=tuple(f"i{i}" for i in range(num_items)),
        values={"text": text, "image": image},
        present={"text": np.ones(num_items, np.bool_), "image": present},
        encoders={"text": "planted", "image": "noise"},
    )


def tower_fit(
    examples: RetrievalExamples,
    config: TowerFitConfig = CONFIG,
    settings: TowerSettings = TOWERS,
    content: ContentMatrix | None = None,
) -> TowerFit:
    torch.manual_seed(config.seed)
    content = content or drawn_content(len(examples.item_ids))
    model = TwoTowers(settings, content, num_behaviors=1, config=config)
    return TowerFit(model, examples, behavior_ids=(1,), config=config, max_history=MAX_HISTORY)


def content_alone(fit: TowerFit) -> torch.Tensor:
    """Vectors of the same items had the model never met them."""
    model = fit.model
    unknown = torch.full((len(model.projected_IMP),), len(model.projected_IMP))
    with torch.inference_mode():
        return model.item_tower(model.projected_IMP, model.present_IM, unknown)


@pytest.mark.parametrize("max_items_full", [1_000, 1], ids=["full", "sampled"])
def test_an_item_without_labels_stands_where_content_alone_puts_it(max_items_full: int) -> None:
    fit = tower_fit(drawn_examples(), replace(CONFIG, max_items_full=max_items_full, num_uniform=16))
    labels = labels_of_part(fit.examples, Part.TOWERS, max_history=MAX_HISTORY)
    for _ in range(3):
        fit.run_epoch(labels)
    counts = np.bincount(fit.examples.label_rows_N[labels], minlength=NUM_ITEMS)
    fit.model.eval()
    with torch.inference_mode():
        known = fit.model.item_vectors()[:-1]
    alone = content_alone(fit)
    torch.testing.assert_close(known[counts == 0], alone[counts == 0], rtol=0, atol=0)
    moved = (known - alone).norm(dim=1).numpy()
    # Others have learned something of their own, items with few labels less of it.
    assert (moved[counts > 0] > 0).all()
    assert moved[(counts > 0) & (counts <= 3)].mean() < moved[counts > 10].mean()


def test_ids_count_by_what_is_known_of_their_items_and_settle_into_their_table() -> None:
    tower = tower_fit(drawn_examples()).model.item_tower
    tower.trust_ids(np.array([0, 5, 15] + [1] * 57))
    assert tower.id_shares_I[:3].tolist() == [0.0, 0.5, 0.75]
    with torch.no_grad():
        tower.ids.weight.normal_()
    tower.eval()
    inputs = torch.rand(3, 2, TOWERS.projected_dim), torch.ones(3, 2, dtype=torch.bool), torch.arange(3)
    settled = tower.settled_ids()
    torch.testing.assert_close(settled(*inputs), tower(*inputs))
    assert not settled.ids.weight[0].any()
    assert set(settled.state_dict()) == set(tower.state_dict())


def lengths_of(examples: RetrievalExamples) -> np.ndarray:
    return np.diff(examples.history_offsets)


def without_content(*rows: int) -> ContentMatrix:
    content = drawn_content()
    kept = ~np.isin(np.arange(NUM_ITEMS), rows)
    return replace(content, present={name: flags & kept for name, flags in content.present.items()})


@pytest.mark.parametrize("num_labels", [0, 1, 50], ids=["in histories alone", "one label", "many labels"])
@pytest.mark.parametrize("max_items_full", [1_000, 1], ids=["full", "sampled"])
@pytest.mark.parametrize("user_tower", ["pooling", "causal"])
def test_what_has_no_content_leaves_the_others_a_gradient(
    num_labels: int, max_items_full: int, user_tower: Literal["pooling", "causal"]
) -> None:
    examples = drawn_examples()
    config = replace(CONFIG, max_items_full=max_items_full, num_uniform=16)
    settings = replace(TOWERS, user_tower=user_tower)
    model = tower_fit(examples, config, settings, without_content(0)).model
    counts = np.full(NUM_ITEMS, 5)
    counts[0] = num_labels
    model.learn_counts(counts)
    labels = labels_of_part(examples, Part.TOWERS, max_history=MAX_HISTORY)
    rows = examples.label_rows_N[labels]
    chosen = np.concatenate([labels[rows == 0][: min(num_labels, 8)], labels[rows != 0][:24]])
    # Every third history holds nothing but the item without content.
    of_it = np.repeat(
        np.isin(np.arange(len(examples)), chosen[2::3]) & (examples.label_rows_N != 0), lengths_of(examples)
    )
    examples = replace(examples, history_rows_E=np.where(of_it, 0, examples.history_rows_E).astype(np.int32))
    if user_tower == "causal":
        alone = one_by_one(examples, chosen, max_history=MAX_HISTORY)
        numbers = np.arange(len(chosen))
        batch = sequence_batch(examples, alone, numbers, max_history=MAX_HISTORY, behavior_ids=(1,))
    else:
        batch = make_batch(examples, chosen, max_history=MAX_HISTORY, behavior_ids=(1,))
    model.train()
    torch.autograd.backward(model(batch))
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    assert 0 < torch.nn.utils.get_total_norm(gradients) < 1e3
    ids = model.item_tower.ids.weight
    assert ids[0].any()
    assert not ids[1:].any()
    model.eval()
    with torch.inference_mode():
        assert bool(model.item_vectors()[0].any()) == (num_labels > 0)


def test_the_best_epoch_stays_and_a_resumed_fit_knows_it() -> None:
    fit = tower_fit(drawn_examples())
    labels, development = (labels_of_part(fit.examples, part, max_history=MAX_HISTORY) for part in list(Part)[:2])
    scores, states = [], []
    # At a rate of 2 everything that was learned is lost.
    for rate in (None, None, 2.0, 2.0):
        fit.run_epoch(labels, learning_rate=rate)
        best = fit.judge(development)
        scores.append(fit.curves[-1]["ndcg"])
        states.append({name: value.clone() for name, value in fit.model.state_dict().items()})
        assert best == (scores[-1] > max(scores[:-1], default=-1.0))
    resumed = tower_fit(drawn_examples())
    resumed.restore(fit.state())
    first_best = int(np.argmax(scores))
    assert first_best < 2
    for each in (fit, resumed):
        each.return_to_best()
        assert each.best["epoch"] == first_best + 1
        for name, value in each.model.state_dict().items():
            torch.testing.assert_close(value, states[first_best][name], rtol=0, atol=0)


def test_negatives_are_drawn_as_labels_are_and_evenly_and_their_chance_is_known() -> None:
    config = replace(CONFIG, max_items_full=1, num_uniform=30_000, num_labelled=60_000)
    fit = tower_fit(drawn_examples(), config)
    labels = labels_of_part(fit.examples, Part.TOWERS, max_history=MAX_HISTORY)
    usable = fit.examples.label_rows_N[labels]
    # Labels that are hidden, repeated or without history are there, and never drawn.
    assert len(labels) < 0.8 * len(fit.examples.of_part(Part.TOWERS))
    counts = np.bincount(usable, minlength=NUM_ITEMS)
    fit.model.learn_counts(counts)
    chances = counts / counts.sum()
    np.testing.assert_allclose(fit.model.chances_I.numpy(), chances, rtol=1e-5)
    found = np.bincount(fit.model.drawn().numpy(), minlength=NUM_ITEMS)
    expected = 30_000 / NUM_ITEMS + 60_000 * chances
    assert found.sum() == 90_000
    assert (np.abs(found - expected) < 5 * np.sqrt(expected)).all()


def test_a_sampled_step_touches_only_what_it_samples_and_reads() -> None:
    num_items = 50_000
    examples = drawn_examples(num_items=num_items)
    fit = tower_fit(examples, replace(CONFIG, max_items_full=1, num_uniform=16, num_labelled=8, batch_size=16))
    rows, saved = [], []
    fit.model.item_tower.register_forward_hook(lambda tower, inputs, output: rows.append(len(output)))

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        saved.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        fit.run_epoch(labels_of_part(examples, Part.TOWERS, max_history=MAX_HISTORY)[:64])
    assert len(rows) == 4
    assert max(rows) <= 24 + 16 + 16 * MAX_HISTORY
    # Nothing that has a place per item, let alone per label and item, but the table of ids itself.
    assert max(saved) < num_items


@pytest.mark.parametrize("num_labels", [1, 100, 6_401])
def test_an_epoch_draws_each_label_once_in_steps_of_like_lengths(num_labels: int) -> None:
    lengths = np.random.default_rng(0).integers(0, 50, num_labels)
    steps = list(joint_batches(lengths, batch_size=32, max_labels=0, generator=np.random.default_rng(1)))
    assert sorted(np.concatenate(steps).tolist()) == list(range(num_labels))
    assert [len(step) for step in steps if len(step) < 32] in ([], [num_labels % 32])
    read = sum(lengths[step].max() * len(step) for step in steps)
    assert read <= 1.5 * lengths.sum() + 50 * 32
    assert sum(
        len(s) for s in joint_batches(lengths, batch_size=32, max_labels=9, generator=np.random.default_rng(1))
    ) == min(9, num_labels)


def test_histories_with_several_labels_fill_steps_by_their_labels() -> None:
    drawn = np.random.default_rng(0)
    sizes = drawn.integers(1, 9, 1_000)
    steps = list(
        joint_batches(sizes + 1, sizes_C=sizes, batch_size=64, max_labels=2_000, generator=np.random.default_rng(1))
    )
    chosen = np.concatenate(steps)
    assert len(set(chosen.tolist())) == len(chosen)
    assert 2_000 <= sizes[chosen].sum() < 2_008
    # Only the last step of a portion, of which each is 16, may be smaller.
    of_step = [int(sizes[step].sum()) for step in steps]
    assert max(of_step) < 64 + 8
    assert sum(each <= 64 - 8 for each in of_step) <= len(steps) // 16 + 1


def test_items_share_a_bounded_table_of_ids_and_one_without_labels_is_its_content_still() -> None:
    settings = replace(TOWERS, id_buckets=40)
    fit = tower_fit(drawn_examples(num_items=5_000), replace(CONFIG, max_items_full=1, num_uniform=64), settings)
    tower = fit.model.item_tower
    assert tower.ids.weight.shape == (41, TOWERS.embedding_dim)
    rows = tower.id_rows(torch.arange(5_001))
    assert rows[:-1].max() < 40
    assert rows[-1].tolist() == [40, 40]
    # Evenly spread, each hash apart from the other.
    counts = torch.stack([torch.bincount(rows[:-1, place], minlength=40) for place in (0, 1)])
    assert counts.min() > 80
    assert counts.max() < 180
    pairs = torch.unique(rows[:-1, 0] * 40 + rows[:-1, 1])
    assert len(pairs) > 0.9 * 1_600
    labels = labels_of_part(fit.examples, Part.TOWERS, max_history=MAX_HISTORY)
    for _ in range(2):
        fit.run_epoch(labels)
    labelled = torch.from_numpy(np.bincount(fit.examples.label_rows_N[labels], minlength=5_000) > 0)
    fit.model.eval()
    with torch.inference_mode():
        known, alone = fit.model.item_vectors()[:-1], content_alone(fit)
        assert torch.equal(known[~labelled], alone[~labelled])
        assert ((known[labelled] - alone[labelled]).norm(dim=1) > 0).all()
        settled = tower.settled_ids().eval()
        again = type(tower)(settings, content_dims={"text": 6, "image": 5}, num_ids=5_000).eval()
        again.load_state_dict(settled.state_dict())
        inputs = fit.model.projected_IMP, fit.model.present_IM, torch.arange(5_000)
        torch.testing.assert_close(again(*inputs), known, rtol=0, atol=1e-6)


@pytest.mark.parametrize("user_tower", ["pooling", "causal"])
def test_half_precision_takes_nearly_the_same_steps(user_tower: Literal["pooling", "causal"]) -> None:
    losses = {}
    for precision in ("float32", "bf16"):
        config = replace(CONFIG, precision=precision, max_items_full=1, num_uniform=32)
        # Without dropout, whose draws depend on the kind of number.
        still = replace(TOWERS, user_tower=user_tower, dropout=0.0, id_dropout=0.0, modality_dropout=0.0)
        fit = tower_fit(drawn_examples(), config, still)
        labels = labels_of_part(fit.examples, Part.TOWERS, max_history=MAX_HISTORY)
        losses[precision] = [fit.run_epoch(labels)["loss"] for _ in range(2)]
        assert all(parameter.dtype == torch.float32 for parameter in fit.model.parameters())
    assert losses["bf16"] != losses["float32"]
    np.testing.assert_allclose(losses["bf16"], losses["float32"], rtol=0.03)


def test_workers_without_a_process_group_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="2 workers need a process group of as many"):
        Workers(number=0, count=2)
    with pytest.raises(ConfigurationError, match="worker 2 of 2; give a number from 0 to 1"):
        Workers(number=2, count=2)
