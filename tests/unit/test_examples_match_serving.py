"""A ranking list is what recommend() would have ranked: same candidates of all sources, same feature rows."""

import dataclasses

import numpy as np
import pyarrow as pa
import pytest

from mmrec.catalog.item import catalog_entry
from mmrec.config import Settings
from mmrec.features.assemble import FEATURE_NAMES
from mmrec.features.item_columns import Vocabulary, content_columns
from mmrec.index.vectors import ExactIndex
from mmrec.recall.catalogue import Catalogue, rows_of
from mmrec.recall.context import user_history
from mmrec.recall.sources.registry import SOURCES
from mmrec.scoring.as_of import read_instant
from mmrec.serving.recommend import ListRequest, ReplicaState, recommend
from mmrec.simulator.settings import StorefrontConfig
from mmrec.simulator.storefront import Storefront
from mmrec.training.build import BuiltExamples, build_examples
from mmrec.training.example_config import ExampleConfig
from mmrec.training.examples import NOT_A_LABEL
from mmrec.training.list_world import ListWorld
from mmrec.training.ranking_rows import RankedList, TowerView, ranked_lists
from mmrec.training.skew import skew
from tests.serving_world import PlainModel, content_vectors, no_deadline

SETTINGS = Settings()
SCORING = SETTINGS.scoring
CONFIG = ExampleConfig(neighbor_builds=3)
NUM_CANDIDATES = 40


@dataclasses.dataclass(frozen=True)
class World:
    built: BuiltExamples
    entries: dict
    content: object
    index: ExactIndex


@pytest.fixture(scope="module")
def world() -> World:
    return built_world()


def built_world() -> World:
    """Examples of a storefront's history."""
    shop = Storefront(StorefrontConfig(seed=11, num_users=60, num_items=120, days=20.0))
    entries = {item.item_id: catalog_entry(item) for item in shop.catalog(with_images=False)}
    tables = []
    for chunk in shop.events():
        new = ~chunk.is_duplicate
        columns = {"user_key": chunk.user_ids, "item_id": chunk.item_ids, "behavior": chunk.behaviors}
        known_times = chunk.send_times_s[new] + 0.25
        tables.append(
            pa.table(
                {
                    **{name: pa.array(column[new].tolist(), pa.string()) for name, column in columns.items()},
                    "event_time_s": chunk.event_times_s[new],
                    "known_time_s": known_times,
                    "ingest_time_s": known_times,
                }
            )
        )
    built = build_examples(pa.concat_tables(tables), entries, settings=SETTINGS, config=CONFIG)
    known = [entries[item_id] for item_id in built.ranking.item_ids]
    return World(
        built=built,
        entries=entries,
        content=content_columns(known, vocabulary=Vocabulary()),
        index=ExactIndex(built.ranking.item_ids, content_vectors(known)),
    )


def state_before(world: World, number: int, *, with_model: bool = True) -> ReplicaState:
    """A replica that has seen what was known strictly before list `number`."""
    ranking = world.built.ranking
    time_s = float(ranking.label_times_N[number])
    num_items = len(ranking.item_ids)
    counts_IHB, reference_times_I = ranking.item_history.as_of(np.arange(num_items), time_s)
    return ReplicaState(
        catalogue=Catalogue(
            item_ids=ranking.item_ids,
            entries=tuple(world.entries[item_id] for item_id in ranking.item_ids),
            content=world.content,
            vocabulary=Vocabulary(),
            showable_I=np.array([world.entries[item_id].publish_time_s < time_s for item_id in ranking.item_ids]),
            out_of_stock_I=np.zeros(num_items, dtype=np.bool_),
            counts_IHB=counts_IHB,
            reference_times_I=reference_times_I,
            decay_per_day_H=ranking.item_history.decay_per_day_H,
            weights_B=SCORING.behaviors.weights_B,
            index=world.index if with_model else None,
            embedded_I=world.index.vectors_ID.any(axis=1) & with_model,
            modality_weights={},
            neighbors=ranking.neighbors_at(time_s),
        ),
        model=PlainModel(),
        release_id="planted",
        unusable_release=False,
        scoring=SCORING,
        num_candidates=NUM_CANDIDATES,
        diversity=0.0,
    )


def ask(world: World, number: int, state: ReplicaState):
    ranking = world.built.ranking
    request = ListRequest(user_key=ranking.user_keys[number], as_of_s=float(ranking.label_times_N[number]), num_items=5)
    return recommend(
        request,
        state=state,
        read_profile=lambda _: ranking.profile(number),
        deadline=no_deadline(),
    )


def lists_of(world: World, numbers: range, *, with_model: bool) -> list[RankedList]:
    return list(
        ranked_lists(
            world.built.ranking,
            np.array(numbers),
            content=world.content,
            towers=TowerView(model=PlainModel(), vectors_ID=world.index.vectors_ID) if with_model else None,
            scoring=SCORING,
            num_candidates=NUM_CANDIDATES,
        )
    )


@pytest.mark.parametrize("with_model", [True, False])
def test_training_and_serving_rank_the_same_candidates_by_the_same_features(world: World, with_model: bool) -> None:
    ranking, numbers = world.built.ranking, range(0, len(world.built.ranking), 3)
    assert len(ranking) > 100
    sources: set[str] = set()
    for number, one in zip(numbers, lists_of(world, numbers, with_model=with_model), strict=True):
        served = ask(world, number, state_before(world, number, with_model=with_model))
        assert not served.degraded
        assert set(one.rows_N[one.proposed_N].tolist()) == set(served.candidates.rows_N.tolist())
        unproposed = set(one.rows_N[~one.proposed_N].tolist())
        assert unproposed <= set(one.rows_N[one.labels_N != NOT_A_LABEL].tolist())
        shared = np.searchsorted(one.rows_N, served.candidates.rows_N)
        np.testing.assert_allclose(one.features_NF[shared], served.features_NF, rtol=1e-5, atol=1e-6)
        sources |= {source.name for source, found in served.candidates.found if len(found.rows_K)}
    assert sources == {source.name for source in SOURCES if with_model or not source.needs_model}


def test_neighbors_of_another_instant_make_other_candidates_and_the_skew_says_so(world: World) -> None:
    ranking, numbers = world.built.ranking, range(0, len(world.built.ranking), 3)
    lists = lists_of(world, numbers, with_model=True)
    old = dataclasses.replace(ranking, neighbors=ranking.neighbors[:1], neighbor_times_T=ranking.neighbor_times_T[:1])
    stale = lists_of(
        dataclasses.replace(world, built=dataclasses.replace(world.built, ranking=old)), numbers, with_model=True
    )
    none = skew(zip(lists, lists, strict=True), FEATURE_NAMES)
    assert none.overlap == 1.0
    assert set(none.by_feature.values()) == {0.0}
    some = skew(zip(lists, stale, strict=True), FEATURE_NAMES)
    assert 0.5 < some.overlap < 1.0
    assert max(some.by_feature, key=some.by_feature.__getitem__) in {"neighbor_score_log", "neighbor_known"}
    with pytest.raises(ValueError, match="no list"):
        skew([], FEATURE_NAMES)


def test_the_user_tower_reads_the_history_that_serving_hands_it(world: World) -> None:
    ranking = world.built.ranking
    embedded_I = np.arange(len(ranking.item_ids)) % 5 != 0
    asked = 0
    for number in range(0, len(ranking), 3):
        state = state_before(world, number)
        catalogue = dataclasses.replace(state.catalogue, embedded_I=embedded_I)
        served = ask(world, number, dataclasses.replace(state, catalogue=catalogue)).context.user_vector_D
        profile = ranking.profile(number)
        history = user_history(
            profile,
            rows_of(state.catalogue.row_of, profile.recent_item_ids),
            read_s=read_instant(profile, float(ranking.label_times_N[number])),
            embedded_I=embedded_I,
        )
        if served is None:
            assert len(history.rows_L) == 0
            continue
        asked += 1
        mine = PlainModel().user_embedding(
            world.index.vectors_ID[history.rows_L], history.behavior_ids_L, history.ages_s_L
        )
        np.testing.assert_array_equal(mine, served)
    assert asked > 20


def test_a_request_and_an_example_have_one_context(world: World) -> None:
    ranking = world.built.ranking
    hidden = 0
    for number in range(0, len(ranking), 3):
        state = state_before(world, number)
        examples_world = ListWorld(
            catalogue=dataclasses.replace(state.catalogue, showable_I=np.ones(len(ranking.item_ids), dtype=np.bool_)),
            item_history=ranking.item_history,
            scoring=SCORING,
            tower=PlainModel(),
        )
        profile, time_s = ranking.profile(number), float(ranking.label_times_N[number])
        trained = examples_world.context(profile, time_s, ranking.neighbors_at(time_s))
        np.testing.assert_array_equal(examples_world.allowed(profile, time_s), trained.allowed_I)
        served = ask(world, number, state).context
        assert trained.read_s == served.read_s
        for name in (
            "allowed_I",
            "own_rows_J",
            "affinity_J",
            "pulls_J",
            "recent_rows",
            "neighbor_scores_I",
            "user_vector_D",
        ):
            np.testing.assert_array_equal(getattr(trained, name), getattr(served, name), err_msg=name)
        for name in ("counts_IHB", "reference_times_I", "popular_rows_I"):
            np.testing.assert_array_equal(getattr(trained.catalogue, name), getattr(served.catalogue, name))
        assert trained.catalogue.row_of == served.catalogue.row_of
        hidden += int((~served.allowed_I & served.catalogue.showable_I).sum())
    assert hidden > 20
