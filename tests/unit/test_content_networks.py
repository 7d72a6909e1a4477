"""Networks of the zoo that read content: by the equations they state, and items nobody touched by content alone."""

from typing import Any

import numpy as np
import pytest
import torch

from mmrec.errors import SettingError
from mmrec.evaluation.interactions import Interactions, ItemFeatures, ItemLabels
from mmrec.zoo.content_inputs import content_inputs, principal
from mmrec.zoo.lattice import LATTICE, LatticeOptions, edge_weights, mixed, neighbors
from mmrec.zoo.mario_like import MARIO_LIKE, MarioLikeOptions
from mmrec.zoo.mccl_like import MCCL_LIKE, MCCLLikeOptions, info_nce
from mmrec.zoo.ncf import NCF_MODEL, NCFOptions
from mmrec.zoo.vbpr import VBPR_MODEL, VBPROptions
from mmrec.zoo.zoo_model import ZooModel
from tests.unit.test_graph_embeddings import NUM_ITEMS, NUM_USERS, asked, parity_content, parity_world

pytestmark = pytest.mark.usefixtures("one_thread")
FEW = {"embedding_dim": 8, "min_steps": 40, "num_epochs": 1, "learning_rate": 0.02}
CONTENT_MODELS = [VBPR_MODEL, MARIO_LIKE, MCCL_LIKE]
"""Those whose items without events have content alone."""


def trained(entry: ZooModel, items: ItemFeatures, *, data: Interactions | None = None, **changed: Any) -> Any:
    model = entry.model({**FEW, **changed})
    model.fit(data or parity_world(), items, seed=1)
    return model


@pytest.mark.parametrize("entry", CONTENT_MODELS, ids=lambda entry: entry.name)
def test_items_that_nobody_touched_are_ranked_by_their_content_alone(entry: ZooModel) -> None:
    data = parity_world()
    scores_NI = trained(entry, parity_content()).score(*asked(data, list(range(NUM_USERS))))
    even_N = np.arange(NUM_USERS) % 2 == 0
    assert np.mean((scores_NI[:, 8] > scores_NI[:, 9]) == even_N) >= 0.9
    labels = ItemLabels(names=("one",), offsets=np.array([0, *([1] * NUM_ITEMS)]), codes_A=np.zeros(1, dtype=np.int64))
    bare = trained(entry, ItemFeatures(num_items=NUM_ITEMS, labels=labels))
    scores_NI = bare.score(*asked(data, list(range(NUM_USERS))))
    assert scores_NI[:, 8] == pytest.approx(scores_NI[:, 9], abs=1e-6), "without content they are alike"


def test_lattice_brings_in_items_that_nobody_touched() -> None:
    scores_NI = trained(LATTICE, parity_content(), num_alike=4).score(*asked(parity_world(), list(range(NUM_USERS))))
    assert np.mean((scores_NI[:, 8] > scores_NI[:, 9]) == (np.arange(NUM_USERS) % 2 == 0)) >= 0.9


def test_principal_directions_keep_products_of_rows_where_there_are_enough() -> None:
    generator = np.random.default_rng(1)
    rows = (generator.normal(size=(40, 3)) @ generator.normal(size=(3, 20))).astype(np.float32)
    found = principal(rows, num_components=3)
    assert found.shape == (40, 3)
    assert found @ found.T == pytest.approx(rows @ rows.T, rel=1e-4, abs=1e-3)
    assert not principal(np.zeros((5, 4), dtype=np.float32), num_components=2).any()


def test_content_that_tells_nothing_is_no_input_and_items_without_it_have_rows_of_0() -> None:
    vectors_ID = np.random.default_rng(2).normal(size=(NUM_ITEMS, 6)).astype(np.float32)
    present_I = np.arange(NUM_ITEMS) != 3
    vectors_ID[3] = 0.0
    found = content_inputs(
        ItemFeatures(
            num_items=NUM_ITEMS,
            vectors={"text": vectors_ID, "image": np.zeros_like(vectors_ID)},
            present={"text": present_I, "image": np.zeros(NUM_ITEMS, dtype=np.bool_)},
            labels=parity_content().labels,
        ),
        num_components=4,
    )
    assert list(found) == ["labels", "text"] and found["text"].shape == (NUM_ITEMS, 4)
    assert not found["text"][3].any() and found["text"][[0, 1, 2]].any(axis=1).all()
    assert content_inputs(ItemFeatures(num_items=NUM_ITEMS), num_components=4) == {}


def test_edges_lead_to_the_most_like_items_and_weigh_what_a_dense_graph_would() -> None:
    units_ID = torch.nn.functional.normalize(torch.randn(12, 5, generator=torch.Generator().manual_seed(1)), dim=1)
    near_IK = neighbors(units_ID, num_alike=3)
    cosines_II = units_ID @ units_ID.T - 9.0 * torch.eye(12)
    assert (near_IK.sort(dim=1).values == cosines_II.topk(3, dim=1).indices.sort(dim=1).values).all()
    graph_II = torch.zeros(12, 12).scatter(1, near_IK, cosines_II.gather(1, near_IK).clamp(min=0))
    scales_I = graph_II.sum(dim=1).clamp(min=1e-6).rsqrt()
    dense_II = scales_I[:, None] * graph_II * scales_I[None, :]
    values_ID = torch.randn(12, 4, generator=torch.Generator().manual_seed(2))
    assert torch.allclose(mixed(values_ID, near_IK, edge_weights(units_ID, near_IK)), dense_II @ values_ID, atol=1e-5)
    nothing = torch.zeros(4, 5)
    assert not edge_weights(nothing, neighbors(nothing, num_alike=2)).any()


def two_kinds() -> ItemFeatures:
    """Labels by parity, and texts that say nothing of it; item 2 has no text."""
    vectors_ID = np.random.default_rng(4).normal(size=(NUM_ITEMS, 6)).astype(np.float32)
    vectors_ID[2] = 0.0
    return ItemFeatures(
        num_items=NUM_ITEMS,
        vectors={"text": vectors_ID},
        present={"text": np.arange(NUM_ITEMS) != 2},
        labels=parity_content().labels,
    )


def test_attention_of_all_items_is_that_of_the_equation_by_hand() -> None:
    model = trained(MARIO_LIKE, two_kinds(), sharpness=3.0)
    users_N, histories = asked(parity_world(), [0, 5])
    fitted = model.fitted
    of_ND = fitted._graph.users(users_N, histories)
    of_ND /= np.linalg.norm(of_ND, axis=1, keepdims=True)
    found_NI = model.score(users_N, histories)
    for n, i in ((0, 1), (0, 2), (1, 7)):
        asks_D = of_ND[n] @ fitted._asks_DD
        asks_D /= np.linalg.norm(asks_D)
        kinds = [each for each, there in zip(fitted._encoded, fitted._is_there_MI, strict=True) if there[i]]
        assert len(kinds) == (1 if i == 2 else 2)
        shares = np.exp([3.0 * asks_D @ each[i] for each in kinds])
        expected = of_ND[n] @ fitted._graph.items_ID[i]
        expected += sum(s * (of_ND[n] @ e[i]) for s, e in zip(shares / shares.sum(), kinds, strict=True))
        assert found_NI[n, i] == pytest.approx(expected, abs=1e-5)


def test_scores_in_training_are_those_of_serving() -> None:
    """A batch's loss is the softmax over what score() gives, as trained users without order decay are the same."""
    from mmrec.zoo.mario_like import _Network
    from mmrec.zoo.touched_pairs import TouchedPairs

    data, options = parity_world(), MarioLikeOptions(**FEW, order_decay=1.0, kept_weight=0.0, l2=0.0)
    pairs = TouchedPairs.of(data)
    inputs = content_inputs(two_kinds(), num_components=options.num_components)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        network = _Network(pairs, inputs, options)
    untrained = MARIO_LIKE.model({**FEW, "min_steps": 1, "learning_rate": 1e-12, "order_decay": 1.0})
    untrained.fit(data, two_kinds(), seed=1)
    scores_NI = torch.from_numpy(untrained.score(*asked(data, [0, 1])))
    expected = torch.nn.functional.cross_entropy(scores_NI / options.temperature, torch.tensor([2, 3]))
    found = network.loss(np.array([0, 1]), np.array([2, 3]), np.arange(NUM_ITEMS))
    assert float(found.detach()) == pytest.approx(float(expected), rel=1e-3)


def test_views_that_agree_lose_least_and_equal_views_of_all_items_lose_the_log_of_their_number() -> None:
    one_BD = torch.eye(6)
    everybody = torch.ones(6, dtype=torch.bool)
    agreeing = float(info_nce(one_BD, one_BD, everybody, temperature=0.1))
    assert agreeing < float(info_nce(one_BD, one_BD.roll(1, 0), everybody, temperature=0.1))
    equal = info_nce(torch.ones(6, 3), torch.ones(6, 3), everybody, temperature=0.5)
    assert float(equal) == pytest.approx(np.log(6), rel=1e-5)
    assert float(info_nce(one_BD, one_BD, torch.arange(6) < 1, temperature=0.5)) == 0.0, "one item has no other"


def test_all_items_are_scored_by_ncf_as_each_pair_is() -> None:
    model = trained(NCF_MODEL, ItemFeatures(num_items=NUM_ITEMS))
    users_N, histories = asked(parity_world(), [3, 4])
    network = model._network
    with torch.inference_mode():
        users_ND = network.users.weight[torch.tensor([3, 4])]
        expected = network.score(users_ND[:, None], network.items.weight[None]).numpy()
    assert model.score(users_N, histories) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("options", "name", "wrong"),
    [
        (VBPROptions, "vbpr", {"learning_rate": 0.0}),
        (NCFOptions, "ncf", {"num_negatives": 0}),
        (LatticeOptions, "lattice", {"num_alike": 0}),
        (MarioLikeOptions, "mario_like", {"num_components": 0}),
        (MCCLLikeOptions, "mccl_like", {"view_temperature": 0.0}),
    ],
)
def test_impossible_options_are_refused_by_name(options: type, name: str, wrong: dict[str, float]) -> None:
    with pytest.raises(SettingError, match=f"{name}.{next(iter(wrong))} is 0"):
        options(**wrong)
