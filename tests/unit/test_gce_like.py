"""The cross-domain graph: what passes over the bridge, and lists in one domain from behavior in the other."""

import numpy as np
import pytest
import torch

from mmrec.errors import SettingError
from mmrec.evaluation.interactions import Histories, Interactions, ItemFeatures, ItemLabels, histories_of
from mmrec.zoo.gce_like import GCELike, GCELikeOptions, bridge_weights, domains_of
from mmrec.zoo.light_gcn import LIGHT_GCN

pytestmark = pytest.mark.usefixtures("one_thread")
NUM_USERS, HALF = 24, 8
FEW = {"embedding_dim": 16, "min_steps": 40, "num_epochs": 1, "learning_rate": 0.02}


def two_domains() -> Interactions:
    """Users like what is of their parity, in both domains; items 0 to 7 are beauty, 8 to 15 fashion. The last four
    users touched beauty alone.
    """
    events = []
    for user in range(NUM_USERS):
        for step in range(3):
            events.append((user, (user + 2 * step) % HALF, 2.0 * step))
            if user < NUM_USERS - 4:
                events.append((user, HALF + (user + 2 * step + 2) % HALF, 2.0 * step + 1))
    users, items, times = zip(*events, strict=True)
    return Interactions.in_order(
        user_ids=[str(user) for user in range(NUM_USERS)],
        item_ids=[str(item) for item in range(2 * HALF)],
        behavior_names=("buy",),
        users_E=users,
        items_E=items,
        times_E=times,
        behaviors_E=np.zeros(len(events), dtype=np.int64),
        clock="positions",
    )


def of_domains() -> ItemFeatures:
    codes = np.repeat([0, 1], HALF).astype(np.int64)
    labels = ItemLabels(names=("domain=beauty", "domain=fashion"), offsets=np.arange(2 * HALF + 1), codes_A=codes)
    return ItemFeatures(num_items=2 * HALF, labels=labels)


def asked(data: Interactions, users: list[int]) -> tuple[np.ndarray, Histories]:
    users_N = np.array(users, dtype=np.int64)
    return users_N, histories_of(data, users_N=users_N, as_of_N=np.full(len(users), 99.0))


def trained(data: Interactions, items: ItemFeatures, **changed: float | str) -> GCELike:
    model = GCELike(GCELikeOptions(**{**FEW, **changed}))
    model.fit(data, items, seed=1)
    return model


def test_what_passes_is_the_share_among_shared_domains_and_the_mean_where_one_is_new() -> None:
    active_MX = np.array([[True, True, False, False], [True, False, True, False], [True, False, True, False]])
    found = bridge_weights(active_MX, share=0.4)
    assert found[:, :, 0] == pytest.approx(np.where(np.eye(3) > 0, 0.6, 0.2))
    assert found[:, :, 1] == pytest.approx(np.array([[1, 0, 0]] * 3)), "one domain speaks for all"
    assert found[:, :, 2] == pytest.approx(np.array([[0, 0.5, 0.5], [0, 0.6, 0.4], [0, 0.4, 0.6]]))
    assert not found[:, :, 3].any(), "nothing is known of who touched nothing"


@pytest.mark.parametrize("num_layers", [1, 2])
def test_a_user_of_the_same_history_is_the_one_that_was_trained(num_layers: int) -> None:
    from mmrec.zoo.gce_like import _Network
    from mmrec.zoo.touched_pairs import TouchedPairs

    data = two_domains()
    model = trained(data, of_domains(), num_layers=num_layers, order_decay=1.0, learning_rate=1e-12, min_steps=1)
    pairs = TouchedPairs.of(data)
    domain_I = domains_of(of_domains(), "domain", max_domains=8)
    in_domains = TouchedPairs(
        num_users=2 * NUM_USERS,
        num_items=2 * HALF,
        users_P=domain_I[pairs.items_P] * NUM_USERS + pairs.users_P,
        items_P=pairs.items_P,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        network = _Network(in_domains, domain_I, 2, GCELikeOptions(**FEW, num_layers=num_layers))
    found = model.users(*asked(data, list(range(NUM_USERS)))).reshape(2 * NUM_USERS, -1)
    with torch.inference_mode():
        assert found == pytest.approx(network.graph.vectors()[0].numpy(), abs=1e-5)


def test_behavior_in_one_domain_ranks_items_of_the_other() -> None:
    data = two_domains()
    scores_NI = trained(data, of_domains()).score(*asked(data, list(range(NUM_USERS - 4, NUM_USERS))))
    for row, user in zip(scores_NI, range(NUM_USERS - 4, NUM_USERS), strict=True):
        fashion = row[HALF:]
        assert fashion[user % 2 :: 2].mean() > fashion[1 - user % 2 :: 2].mean()


def test_without_domains_it_is_light_gcn() -> None:
    data, nothing = two_domains(), ItemFeatures(num_items=2 * HALF)
    other = LIGHT_GCN.model({**FEW, "min_steps": 5})
    other.fit(data, nothing, seed=1)
    found = trained(data, nothing, min_steps=5).score(*asked(data, [0, 1, 23]))
    assert found == pytest.approx(other.score(*asked(data, [0, 1, 23])), abs=1e-3)


def test_rare_domains_are_one_together() -> None:
    names = tuple(f"domain={name}" for name in "abcd")
    codes = np.array([0, 0, 0, 1, 1, 2, 3], dtype=np.int64)
    labels = ItemLabels(names=names, offsets=np.array([0, 1, 2, 3, 4, 5, 6, 7, 7]), codes_A=codes)
    items = ItemFeatures(num_items=8, labels=labels)
    assert domains_of(items, "domain", max_domains=2).tolist() == [0, 0, 0, 1, 1, 2, 2, 2]
    assert domains_of(items, "color", max_domains=2).tolist() == [0] * 8
    assert domains_of(ItemFeatures(num_items=3), "domain", max_domains=1).tolist() == [0, 0, 0]


def test_impossible_options_are_refused_by_name() -> None:
    with pytest.raises(SettingError, match=r"gce_like.bridge_share is 2.0"):
        GCELikeOptions(bridge_share=2.0)
