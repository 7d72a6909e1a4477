"""A ranking example reads what recommend() reads: same candidates, same feature rows, same history for the tower."""

import dataclasses

import numpy as np
import pyarrow as pa
import pytest

from mmrec.catalog.item import catalog_entry
from mmrec.config import Settings
from mmrec.features.assemble import assemble
from mmrec.features.item_columns import Vocabulary, content_columns
from mmrec.index.vectors import ExactIndex
from mmrec.recall.catalogue import Catalogue
from mmrec.recall.context import user_history
from mmrec.recall.sources.registry import MODEL_FREE
from mmrec.scoring.as_of import read_instant
from mmrec.serving.recommend import ListRequest, ReplicaState, recommend
from mmrec.simulator.settings import StorefrontConfig
from mmrec.simulator.storefront import Storefront
from mmrec.training.build import BuiltExamples, build_examples
from mmrec.training.example_config import ExampleConfig, Part
from mmrec.training.ranking_lists import ListWorld
from tests.serving_world import PlainModel, content_vectors, no_deadline

SETTINGS = Settings()
SCORING = SETTINGS.scoring
CONFIG = ExampleConfig(num_candidates=40, num_random=0)


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


def state_before(world: World, number: int) -> ReplicaState:
    """A replica that has seen what was known strictly before list `number`; without vectors, as the sources are."""
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
            counts_IHB=counts_IHB,
            reference_times_I=reference_times_I,
            decay_per_day_H=ranking.item_history.decay_per_day_H,
            weights_B=SCORING.behaviors.weights_B,
            index=None,
            embedded_I=np.ones(num_items, dtype=np.bool_),
            modality_weights={},
            neighbors=ranking.neighbors[Part(int(ranking.parts_N[number]))],
        ),
        model=PlainModel(),
        release_id="planted",
        unusable_release=False,
        scoring=SCORING,
        num_candidates=CONFIG.num_candidates,
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
        sources=MODEL_FREE,
    )


def test_candidates_are_those_that_serving_would_have_ranked(world: World) -> None:
    ranking = world.built.ranking
    assert len(ranking) > 100
    for number in range(0, len(ranking), 3):
        served = set(ask(world, number, state_before(world, number)).candidates.rows_N.tolist())
        inputs = ranking.inputs(number, world.content)
        labels = set(inputs.rows_N[inputs.labels_N >= 0].tolist())
        assert set(inputs.rows_N.tolist()) == served | labels
        assert ranking.recalled_N[number] == (labels <= served)


def test_feature_rows_are_those_that_serving_would_have_assembled(world: World) -> None:
    ranking = world.built.ranking
    for number in range(0, len(ranking), 3):
        served = ask(world, number, state_before(world, number))
        inputs = ranking.inputs(number, world.content)
        shared = np.searchsorted(inputs.rows_N, served.candidates.rows_N)
        trained_NF = assemble(
            inputs.profile,
            inputs.items,
            inputs.signals(),
            as_of_s=inputs.as_of_s,
            behaviors=SCORING.behaviors,
            decay_per_day=SCORING.decay_per_day[0],
        )[shared]
        np.testing.assert_allclose(trained_NF, served.features_NF, rtol=1e-5, atol=1e-6)


def test_the_user_tower_reads_the_history_that_serving_hands_it(world: World) -> None:
    ranking = world.built.ranking
    embedded_I = np.arange(len(ranking.item_ids)) % 5 != 0
    asked = 0
    for number in range(0, len(ranking), 3):
        state = state_before(world, number)
        catalogue = dataclasses.replace(state.catalogue, index=world.index, embedded_I=embedded_I)
        served = ask(world, number, dataclasses.replace(state, catalogue=catalogue)).context.user_vector_D
        profile = ranking.profile(number)
        history = user_history(
            profile,
            ranking.rows(profile.recent_item_ids),
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
        )
        profile = ranking.profile(number)
        trained = examples_world.context(profile, float(ranking.label_times_N[number]))
        served = ask(world, number, state).context
        assert trained.read_s == served.read_s
        for name in ("allowed_I", "own_rows_J", "affinity_J", "recent_rows", "neighbor_scores_I"):
            np.testing.assert_array_equal(getattr(trained, name), getattr(served, name), err_msg=name)
        for name in ("counts_IHB", "reference_times_I", "popular_rows_I"):
            np.testing.assert_array_equal(getattr(trained.catalogue, name), getattr(served.catalogue, name))
        assert trained.catalogue.row_of == served.catalogue.row_of
        hidden += int((~served.allowed_I & served.catalogue.showable_I).sum())
    assert hidden > 20
