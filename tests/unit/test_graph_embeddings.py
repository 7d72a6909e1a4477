"""Graph models: a history that fitting saw gives the graph's own user, and content brings in what nobody touched."""

import numpy as np
import pytest
import torch
from scipy import sparse
from torch.nn import functional

from mmrec.errors import SettingError
from mmrec.evaluation.interactions import UNKNOWN, Interactions, ItemFeatures, ItemLabels, histories_of
from mmrec.evaluation.model import Learner
from mmrec.zoo.content_graph import content_graph, highest
from mmrec.zoo.freedom import FREEDOM, FreedomOptions
from mmrec.zoo.graph_embeddings import FittedGraph, GraphEmbeddings, GraphOptions, multiplied, with_transpose
from mmrec.zoo.light_gcn import LIGHT_GCN, LightGCNOptions

pytestmark = pytest.mark.usefixtures("one_thread")
NUM_USERS, NUM_ITEMS = 12, 10
SMALL = {"embedding_dim": 8, "min_steps": 40, "num_epochs": 1}


def parity_world() -> Interactions:
    """Users touch four items of their own parity; items 8 and 9 are touched by nobody."""
    events = [(user, (user + 2 * step) % 8, float(step)) for user in range(NUM_USERS) for step in range(3)]
    users, items, times = zip(*events, strict=True)
    return Interactions.in_order(
        user_ids=[str(user) for user in range(NUM_USERS)],
        item_ids=[str(item) for item in range(NUM_ITEMS)],
        behavior_names=("review",),
        users_E=users,
        items_E=items,
        times_E=times,
        behaviors_E=np.zeros(len(events), dtype=np.int64),
        clock="positions",
    )


def parity_content() -> ItemFeatures:
    parity = np.arange(NUM_ITEMS, dtype=np.int64) % 2
    labels = ItemLabels(names=("even", "odd"), offsets=np.arange(NUM_ITEMS + 1), codes_A=parity)
    return ItemFeatures(num_items=NUM_ITEMS, labels=labels)


def asked(data: Interactions, users: list[int]):
    users_N = np.array(users, dtype=np.int64)
    return users_N, histories_of(data, users_N=users_N, as_of_N=np.full(len(users), 99.0))


@pytest.mark.parametrize("num_layers", [0, 1, 3])
def test_a_user_of_the_same_history_is_the_one_that_was_trained(num_layers: int) -> None:
    data = parity_world()
    options = GraphOptions(embedding_dim=8, num_layers=num_layers, order_decay=1.0)
    touched_UI = sparse.csr_array((np.ones(len(data)), (data.users_E, data.items_E)), shape=(NUM_USERS, NUM_ITEMS))
    network = GraphEmbeddings(touched_UI, options)
    found = FittedGraph(network, data, options).users(*asked(data, list(range(NUM_USERS))))
    with torch.inference_mode():
        assert found == pytest.approx(network.vectors()[0].numpy(), abs=1e-5)


def test_the_gradient_of_a_product_goes_through_the_transposed_matrix() -> None:
    generator = np.random.default_rng(3)
    matrix = sparse.random_array((5, 4), density=0.5, rng=generator, format="csr")
    values = torch.from_numpy(generator.normal(size=(4, 3)).astype(np.float32)).requires_grad_()
    multiplied(with_transpose(matrix), values).square().sum().backward()
    dense_UI = torch.from_numpy(matrix.toarray().astype(np.float32))
    expected = 2 * dense_UI.T @ (dense_UI @ values.detach())
    assert torch.allclose(values.grad, expected, atol=1e-5)


def test_the_loss_is_the_softmax_of_cosines_over_the_pair_and_the_drawn_items() -> None:
    data = parity_world()
    options = GraphOptions(embedding_dim=8, temperature=0.2, l2=0.0)
    touched_UI = sparse.csr_array((np.ones(len(data)), (data.users_E, data.items_E)), shape=(NUM_USERS, NUM_ITEMS))
    network = GraphEmbeddings(touched_UI, options)
    found = network.loss(np.array([0, 3]), np.array([2, 5]), np.arange(NUM_ITEMS)).detach()
    users_UD, items_ID = (functional.normalize(each.detach(), dim=-1) for each in network.vectors())
    expected = functional.cross_entropy(users_UD[[0, 3]] @ items_ID.T / 0.2, torch.tensor([2, 5]))
    assert float(found) == pytest.approx(float(expected), rel=1e-5)


def test_a_graph_of_content_joins_like_items_alone_and_not_an_item_with_itself() -> None:
    graph_II = content_graph(parity_content(), num_alike=3).toarray()
    first, other = np.nonzero(graph_II)
    assert (first % 2 == other % 2).all() and (first != other).all()
    assert ((graph_II > 0).sum(axis=1) == 3).all()
    assert content_graph(ItemFeatures(num_items=NUM_ITEMS), num_alike=3).nnz == 0


def test_trials_share_the_graph_of_the_same_items_and_size() -> None:
    items = parity_content()
    assert content_graph(items, num_alike=3) is content_graph(items, num_alike=3)
    assert content_graph(items, num_alike=3) is not content_graph(items, num_alike=2)
    assert content_graph(parity_content(), num_alike=3) is not content_graph(items, num_alike=3)


def test_a_network_that_learns_tells_a_loss_per_epoch_which_falls() -> None:
    model = LIGHT_GCN.model({**SMALL, "learning_rate": 0.02})
    model.fit(parity_world(), ItemFeatures(num_items=NUM_ITEMS), seed=1)
    assert isinstance(model, Learner)
    epochs, losses = zip(*model.learning_curve, strict=True)
    assert list(epochs) == [float(number) for number in range(1, 41)] and losses[-1] < losses[0]


def test_the_highest_are_those_of_a_stable_sort() -> None:
    scores_NI = np.random.default_rng(3).integers(0, 5, (40, 12)).astype(np.float32)
    for num_kept in (1, 5, 12):
        expected = np.zeros(scores_NI.shape, dtype=np.bool_)
        order = np.argsort(-scores_NI, axis=1, kind="stable")[:, :num_kept]
        np.put_along_axis(expected, order, True, axis=1)
        assert (highest(scores_NI, num_kept) == expected).all()


def test_an_item_counts_once_however_often_it_was_touched_and_however_old_it_is() -> None:
    once = parity_world()
    options = GraphOptions(embedding_dim=8, order_decay=0.5)
    touched_UI = sparse.csr_array((np.ones(len(once)), (once.users_E, once.items_E)), shape=(NUM_USERS, NUM_ITEMS))
    fitted = FittedGraph(GraphEmbeddings(touched_UI, options), once, options)
    again = once.take(np.sort(np.concatenate([np.arange(len(once)), np.flatnonzero(once.times_E == 0.0)])))
    assert fitted.users(*asked(again, [0, 1])) == pytest.approx(fitted.users(*asked(once, [0, 1])), abs=1e-6)


def test_content_brings_in_items_that_nobody_touched() -> None:
    data, items = parity_world(), parity_content()
    model = FREEDOM.model({**SMALL, "num_alike": 4})
    model.fit(data, items, seed=1)
    scores_NI = model.score(*asked(data, list(range(NUM_USERS))))
    even_N = np.arange(NUM_USERS) % 2 == 0
    assert np.mean((scores_NI[:, 8] > scores_NI[:, 9]) == even_N) >= 0.9


def test_a_user_nobody_knows_with_a_history_is_served_by_it_and_without_one_by_nothing() -> None:
    data = parity_world()
    model = LIGHT_GCN.model(SMALL)
    model.fit(data, ItemFeatures(num_items=NUM_ITEMS), seed=1)
    _, histories = asked(data, [0])
    scores_I = model.score(np.array([UNKNOWN]), histories)[0]
    assert scores_I[[0, 2, 4, 6]].min() > scores_I[[1, 3, 5, 7]].max()
    assert model.score(*asked(data, [UNKNOWN])).tolist() == [[0.0] * NUM_ITEMS]


@pytest.mark.parametrize(
    ("options", "name", "wrong"),
    [(LightGCNOptions, "light_gcn", {"temperature": 0.0}), (FreedomOptions, "freedom", {"num_alike": 0})],
)
def test_impossible_options_are_refused_by_name(options: type, name: str, wrong: dict[str, float]) -> None:
    with pytest.raises(SettingError, match=f"{name}.{next(iter(wrong))} is 0"):
        options(**wrong)
