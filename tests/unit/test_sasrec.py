"""SASRec: nobody sees the future, padding means nothing, drawing all items is the full softmax, a chain is learned."""

import numpy as np
import pytest
import torch

from mmrec.errors import SettingError
from mmrec.evaluation.interactions import Interactions, ItemFeatures, histories_of
from mmrec.zoo.sasrec import SASRec, SASRecOptions, batches, padded
from mmrec.zoo.sasrec_network import SASRecNetwork

pytestmark = pytest.mark.usefixtures("one_thread")
NUM_ITEMS = 12


def network(seed: int = 1) -> SASRecNetwork:
    torch.manual_seed(seed)
    return SASRecNetwork(NUM_ITEMS, embedding_dim=8, num_blocks=2, num_heads=2, max_length=6, dropout=0.5).eval()


def chains() -> Interactions:
    """User u walks through the items one by one from item u on, around the end."""
    events = [(user, (user + step) % NUM_ITEMS, float(step)) for user in range(NUM_ITEMS) for step in range(8)]
    users, items, times = zip(*events, strict=True)
    return Interactions.in_order(
        user_ids=[str(user) for user in range(NUM_ITEMS)],
        item_ids=[str(item) for item in range(NUM_ITEMS)],
        behavior_names=("review",),
        users_E=users,
        items_E=items,
        times_E=times,
        behaviors_E=np.zeros(len(events), dtype=np.int64),
        clock="positions",
    )


def test_no_place_sees_a_later_one() -> None:
    rows, lengths = torch.tensor([[1, 2, 3, 4, 5]]), torch.tensor([5])
    other = torch.tensor([[1, 2, 3, 9, 0]])
    with torch.inference_mode():
        one, two = network()(rows, lengths), network()(other, lengths)
    assert torch.allclose(one[:, :3], two[:, :3])
    assert not torch.allclose(one[:, 3:], two[:, 3:])


def test_padding_means_nothing_and_places_count_from_the_end() -> None:
    rows, lengths = padded([np.array([4, 7]), np.array([1, 2, 3, 4, 5])])
    with torch.inference_mode():
        together, alone = network()(rows, lengths)[0, :2], network()(rows[:1, :2], lengths[:1])[0]
        longer = network()(torch.tensor([[4, 4, 7]]), torch.tensor([3]))[0, 1:]
    assert torch.allclose(together, alone, atol=1e-6)
    assert not torch.allclose(alone, longer, atol=1e-3), "the item before counts"


def test_drawing_all_other_items_is_the_full_softmax() -> None:
    losses = []
    for num_negatives in (0, NUM_ITEMS - 1):
        model = SASRec(SASRecOptions(embedding_dim=8, dropout=0.0, max_length=10, num_negatives=num_negatives))
        model._network = SASRecNetwork(
            NUM_ITEMS, embedding_dim=8, num_blocks=1, num_heads=1, max_length=10, dropout=0.0
        )
        with torch.no_grad():
            for parameter in model._network.parameters():
                parameter.copy_(torch.sin(torch.arange(parameter.numel()).reshape(parameter.shape) * 0.7))
        draws = [
            float(model._loss([np.array([1, 2, 3]), np.array([4, 5])], np.random.default_rng(seed)).detach())
            for seed in range(200 if num_negatives else 1)
        ]
        losses.append(np.mean(draws))
    assert abs(losses[0] - losses[1]) < 0.05


def test_a_chain_of_items_is_learned_in_order() -> None:
    data = chains()
    model = SASRec(SASRecOptions(embedding_dim=16, dropout=0.1, learning_rate=0.01, min_steps=120, max_length=8))
    model.fit(data, ItemFeatures(num_items=NUM_ITEMS), seed=1)
    users_N = np.arange(NUM_ITEMS)
    histories = histories_of(data, users_N=users_N, as_of_N=np.full(NUM_ITEMS, 3.0))
    assert model.score(users_N, histories).argmax(axis=1).tolist() == ((users_N + 3) % NUM_ITEMS).tolist()


def test_every_sequence_is_read_once_per_epoch_beside_ones_of_its_length() -> None:
    generator = np.random.default_rng(2)
    sequences = [np.full(length, number) for number, length in enumerate(generator.integers(2, 30, 500).tolist())]
    found = list(batches(sequences, batch_size=50, generator=generator))
    assert sorted(int(each[0]) for batch in found for each in batch) == list(range(500))
    spread = [max(map(len, batch)) - min(map(len, batch)) for batch in found]
    assert max(spread) <= 4


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises(SettingError, match=r"sasrec.num_heads is 3 and embedding_dim 10; give a divisor of it"):
        SASRecOptions(embedding_dim=10, num_heads=3)
