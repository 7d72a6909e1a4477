"""The causal user tower: nobody sees the future, one pass is all prefixes, and serving reads what training read."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from mmrec.models.bundle import new_bundle
from mmrec.models.causal_tower import CausalUserTower, decay_logs
from mmrec.models.export import numpy_user_tower
from mmrec.models.settings import RankerSettings, TowerSettings
from mmrec.scoring.behaviors import shop_behaviors
from mmrec.training.event_columns import event_columns
from mmrec.training.example_config import ExampleConfig
from mmrec.training.examples import RetrievalExamples
from mmrec.training.labels import labels_of
from mmrec.training.retrieval_labels import retrieval_examples
from mmrec.training.tower_data import usable_labels
from mmrec.training.tower_sequences import Sequences, one_by_one, sequence_batch, sequences_of

pytestmark = pytest.mark.usefixtures("one_thread")
LONGEST, WIDTH, BEHAVIORS = 20, 16, (1, 2, 3, 4)
SETTINGS = TowerSettings(
    embedding_dim=WIDTH, hidden_dim=24, max_history=LONGEST, user_tower="causal", user_blocks=2, dropout=0.0
)


def tower(seed: int = 1) -> CausalUserTower:
    """Every weight says something; as it begins, all but the decayed mean is 0."""
    torch.manual_seed(seed)
    made = CausalUserTower(SETTINGS, num_behaviors=len(BEHAVIORS)).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return made


def history(length: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Items, behaviors, ages, and ages at which each place is asked, of one user."""
    drawn = torch.Generator().manual_seed(seed)
    items = torch.nn.functional.normalize(torch.randn(1, length, WIDTH, generator=drawn), dim=-1)
    ages = torch.rand(1, length, generator=drawn).mul(14).exp().sort(descending=True).values
    return (
        items,
        torch.randint(5, (1, length), generator=drawn),
        ages,
        torch.rand(1, length, generator=drawn).mul(9).exp(),
    )


@pytest.mark.parametrize("changed", range(LONGEST))
def test_an_event_changes_nothing_before_it(changed: int) -> None:
    items, behaviors, ages, read_ages = history(LONGEST)
    other_items, other_behaviors, other_ages = items.clone(), behaviors.clone(), ages.clone()
    other_items[0, changed] = -items[0, changed]
    other_behaviors[0, changed] = (behaviors[0, changed] + 1) % 5
    other_ages[0, changed] = 0.5 * ages[0, changed]
    with torch.inference_mode():
        before = tower()(items, behaviors, ages, read_ages)[0]
        after = tower()(other_items, other_behaviors, other_ages, read_ages)[0]
    assert torch.equal(before[:changed], after[:changed])
    assert ((before[changed:] - after[changed:]).abs().amax(dim=1) > 1e-5).all()


def test_one_pass_gives_at_every_place_what_the_events_up_to_there_give_alone() -> None:
    items, behaviors, ages, read_ages = history(LONGEST)
    with torch.inference_mode():
        whole = tower()(items, behaviors, ages, read_ages)[0]
        for last in range(LONGEST):
            kept = slice(0, last + 1)
            # Counted from another instant, as a request that comes then counts.
            earlier = ages[:, kept] - ages[:, last : last + 1]
            alone = tower()(items[:, kept], behaviors[:, kept], earlier, read_ages[:, kept])[0, -1]
            torch.testing.assert_close(whole[last], alone, rtol=0, atol=2e-5)


def test_what_pads_a_history_at_its_end_means_nothing() -> None:
    short, long = history(5), history(LONGEST, seed=1)
    together = [torch.cat([torch.nn.functional.pad(a, (0, 0, 0, LONGEST - 5)), b]) for a, b in [(short[0], long[0])]]
    together += [
        torch.cat([torch.nn.functional.pad(a, (0, LONGEST - 5)), b]) for a, b in zip(short[1:], long[1:], strict=True)
    ]
    with torch.inference_mode():
        torch.testing.assert_close(tower()(*together)[0, :5], tower()(*short)[0], rtol=0, atol=1e-6)


def test_a_tower_that_has_learned_nothing_is_the_decayed_mean() -> None:
    made = CausalUserTower(SETTINGS, num_behaviors=len(BEHAVIORS)).eval()
    items, behaviors, ages, read_ages = history(4)
    with torch.inference_mode():
        found = made(items, behaviors, ages, read_ages)[0, 3]
        hours = decay_logs(ages[0] - ages[0, 3] + read_ages[0, 3])
        weights = torch.softmax(-0.5 * torch.arange(3, -1, -1) - 0.1 * hours, dim=0)
        expected = torch.nn.functional.normalize(weights @ items[0], dim=0)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_a_history_that_is_too_long_is_refused() -> None:
    with pytest.raises(ValueError, match="a history of 21 events; give the newest 20 at most"):
        tower()(*history(LONGEST + 1))


# Sequences


def examples(*, share_late: float = 0.0, seed: int = 0, max_labels: int = 0) -> RetrievalExamples:
    """30 people with 1 to 30 events each, some at one instant; some are known a while after they happened."""
    drawn = np.random.default_rng(seed)
    users = np.repeat(np.arange(30), drawn.integers(1, 31, 30))
    times = 1.7e9 + np.round(drawn.uniform(0, 3e6, len(users)))
    times[1::7] = times[0:-1:7]  # often the instant of the event before, where that is the same user's
    known = times + np.where(drawn.random(len(users)) < share_late, drawn.uniform(0, 1e6, len(users)), 0.0)
    table = pa.table(
        {
            "user_key": [f"u{user:02d}" for user in users],
            "item_id": [f"i{item:03d}" for item in drawn.integers(0, 200, len(users))],
            "behavior": drawn.choice(shop_behaviors().names, len(users)).tolist(),
            "event_time_s": times,
            "known_time_s": known,
            "ingest_time_s": known,
        }
    )
    config = ExampleConfig(towers_fraction=1.0, ranker_fraction=0.0, max_retrieval_labels=max_labels)
    columns = event_columns(table, behaviors=shop_behaviors())
    return retrieval_examples(columns, labels_of(columns, config=config), config=config, max_history=50)[0]


WORLDS: dict[str, dict[str, Any]] = {
    "in order": {},
    "some late": {"share_late": 0.3},
    "few labels": {"max_labels": 150},
}


def with_sequences(world: str) -> tuple[RetrievalExamples, np.ndarray, Sequences]:
    found = examples(**WORLDS[world])
    labels = usable_labels(found, np.arange(len(found)), max_history=LONGEST)
    return found, labels, sequences_of(found, labels, max_history=LONGEST)


@pytest.mark.parametrize("world", WORLDS)
def test_every_label_is_asked_once_after_the_newest_events_that_its_own_history_has(world: str) -> None:
    found, labels, sequences = with_sequences(world)
    assert sorted(sequences.labels_N.tolist()) == labels.tolist()
    assert len(sequences) < len(labels)
    own = found.histories(labels, max_length=LONGEST).rows_NL
    own_of = dict(zip(labels.tolist(), ([r for r in row if r >= 0] for row in own.tolist()), strict=True))
    for number, head in enumerate(sequences.heads_C.tolist()):
        asked = slice(*sequences.offsets[number : number + 2])
        for label, place in zip(sequences.labels_N[asked].tolist(), sequences.places_N[asked].tolist(), strict=True):
            read = own_of[head][: place + 1]
            assert read == own_of[label][-len(read) :]
            assert len(read) >= min(len(own_of[label]), LONGEST // 2)
            assert found.user_index_N[head] == found.user_index_N[label]


def test_without_late_events_a_short_history_is_one_sequence() -> None:
    found, labels, sequences = with_sequences("in order")
    users, counts = np.unique(found.user_index_N[labels], return_counts=True)
    lengths = np.diff(found.history_offsets)[labels]
    longest = np.array([lengths[found.user_index_N[labels] == user].max() for user in users])
    heads, per_user = np.unique(found.user_index_N[sequences.heads_C], return_counts=True)
    assert heads.tolist() == users.tolist()
    assert (per_user[longest <= LONGEST] == 1).all()
    assert counts[longest <= LONGEST].sum() > 20


@pytest.mark.parametrize("world", WORLDS)
def test_training_and_serving_give_one_user_vector(world: str) -> None:
    found, _, sequences = with_sequences(world)
    made = tower()
    served = numpy_user_tower(made, BEHAVIORS)
    vectors = np.random.default_rng(5).standard_normal((len(found.item_ids) + 1, WIDTH)).astype(np.float32)
    vectors[-1] = 0.0
    whole = 0
    for chosen in np.array_split(np.arange(len(sequences)), 4):
        batch = sequence_batch(found, sequences, chosen, max_history=LONGEST, behavior_ids=BEHAVIORS)
        with torch.inference_mode():
            users = made(
                torch.from_numpy(vectors)[batch.rows_CL], batch.behaviors_CL, batch.ages_s_CL, batch.read_ages_s_CL
            )[batch.sequences_N, batch.places_N]
        asked = np.concatenate(
            [sequences.labels_N[slice(*sequences.offsets[number : number + 2])] for number in chosen.tolist()]
        )
        assert batch.labels_N.tolist() == found.label_rows_N[asked].tolist()
        for label, place, user in zip(asked.tolist(), batch.places_N.tolist(), users.numpy(), strict=True):
            # What serving would be handed: the newest events and their ages at the request.
            begin, end = found.history_offsets[label : label + 2]
            kept = slice(max(begin, end - LONGEST), end)
            mine = served(
                vectors[found.history_rows_E[kept]],
                found.history_behavior_ids_E[kept],
                found.history_ages_s_E[kept].astype(np.float64),
            )
            if place + 1 == kept.stop - kept.start:
                whole += 1
                np.testing.assert_allclose(user, mine, atol=2e-4)
    assert whole > 0.4 * len(sequences.labels_N)


def test_labels_one_by_one_are_read_as_serving_reads_them() -> None:
    found, labels, _ = with_sequences("some late")
    alone = one_by_one(found, labels[::-1], max_history=LONGEST)
    batch = sequence_batch(found, alone, np.arange(len(alone)), max_history=LONGEST, behavior_ids=BEHAVIORS)
    assert batch.labels_N.tolist() == found.label_rows_N[labels[::-1]].tolist()
    ends = found.history_offsets[labels[::-1] + 1] - 1
    newest = batch.rows_CL[batch.sequences_N, batch.places_N]
    assert newest.tolist() == found.history_rows_E[ends].tolist()
    ages = batch.read_ages_s_CL[batch.sequences_N, batch.places_N]
    assert ages.tolist() == found.history_ages_s_E[ends].tolist()
    assert torch.equal(ages, batch.ages_s_CL[batch.sequences_N, batch.places_N])


def test_a_saved_causal_tower_serves_as_it_was(tmp_path: Path) -> None:
    made = new_bundle(
        tower_settings=SETTINGS,
        ranker_settings=RankerSettings(hidden_dims=(8,)),
        known_item_ids=("a", "b"),
        feature_names=("f",),
        behavior_ids=BEHAVIORS,
        behavior_weights=(1.0, 2.0, 3.0, 4.0),
        content_dims={"text": 4},
        encoders={"text": "planted"},
    )
    made = replace(made, user_tower=tower())
    made.save(tmp_path)
    items, _, ages, _ = history(7)
    asked = (items[0].numpy(), np.array([1, 2, 3, 4, 9, 1, 2], dtype=np.uint8), ages[0].double().numpy())
    found = type(made).load(tmp_path).user_embedding(*asked)
    np.testing.assert_array_equal(found, made.user_embedding(*asked))
    assert np.linalg.norm(found) == pytest.approx(1.0, abs=1e-5)
