"""How a profile is read, and what sources promise to everybody who asks them."""

import dataclasses

import numpy as np
import pytest

from mmrec.recall.context import allowed_items, item_context, recall_context, user_history
from mmrec.recall.sources.registry import FINDING_SIMILAR, SOURCES
from mmrec.scoring.as_of import profile_as_of, read_instant
from mmrec.scoring.behaviors import BehaviorSet
from mmrec.scoring.profile import NEVER_S, empty_profile
from tests.serving_world import PlainModel, ServingWorld, serving_world


@pytest.fixture(scope="module")
def world() -> ServingWorld:
    return serving_world()


@pytest.fixture(scope="module")
def state(world):
    return world.state()


def context_of(world, state, user_id, *, as_of_s=None, tower=None):
    as_of_s = world.end_s if as_of_s is None else as_of_s
    profile = world.read_profile(user_id) or empty_profile(behaviors=world.scoring.behaviors, num_half_lives=1)
    allowed_I = allowed_items(state.catalogue, as_of_s=as_of_s)
    return recall_context(profile, state.catalogue, world.scoring, as_of_s=as_of_s, allowed_I=allowed_I, tower=tower)


def test_a_profile_is_never_read_before_its_newest_event(world):
    profile = world.read_profile(world.user_ids[0])
    newest_s = max(profile.newest_event_time_s, profile.reference_times_I.max())
    assert read_instant(profile, newest_s + 5.0) == newest_s + 5.0
    assert read_instant(profile, newest_s - 5.0) == newest_s
    blank = empty_profile(behaviors=world.scoring.behaviors, num_half_lives=1)
    assert read_instant(blank, 7.0) == 7.0
    assert read_instant(blank, NEVER_S) == NEVER_S


def test_affinity_below_0_counts_as_none_for_recall(world):
    profile, behaviors = world.read_profile(world.user_ids[0]), world.scoring.behaviors
    turned = BehaviorSet(tuple(dataclasses.replace(b, weight=-b.weight) for b in behaviors))
    state = profile_as_of(profile, as_of_s=world.end_s, behaviors=turned, decay_per_day=0.05)
    assert (state.affinity_I < 0).all()
    assert (state.positive_affinity_I == 0).all()


def test_the_mask_of_the_caller_stays_as_it_was(world, state):
    hiding = [b.behavior_id for b in world.scoring.behaviors if b.hides]
    assert hiding
    profiles = [world.read_profile(user_id) for user_id in world.user_ids]
    profile = next(p for p in profiles if (p.counts_IHB[:, 0, np.isin(p.behavior_ids_B, hiding)] > 0).any())
    allowed_I = allowed_items(state.catalogue, as_of_s=world.end_s)
    before_I = allowed_I.copy()
    context = recall_context(profile, state.catalogue, world.scoring, as_of_s=world.end_s, allowed_I=allowed_I)
    np.testing.assert_array_equal(allowed_I, before_I)
    assert context.allowed_I.sum() < before_I.sum()


def test_history_leaves_out_what_the_table_or_the_index_does_not_know(world, state):
    profile = world.read_profile(world.user_ids[0])
    rows_L = state.catalogue.rows(profile.recent_item_ids)
    rows_L[0] = -1
    embedded_I = np.ones(len(state.catalogue.item_ids), dtype=np.bool_)
    embedded_I[rows_L[-1]] = False
    history = user_history(profile, rows_L, read_s=world.end_s, embedded_I=embedded_I)
    kept = [place for place, row in enumerate(rows_L.tolist()) if row not in (-1, rows_L[-1])]
    np.testing.assert_array_equal(history.rows_L, rows_L[kept])
    np.testing.assert_array_equal(history.ages_s_L, world.end_s - profile.recent_event_times_L[kept])
    nothing = user_history(profile, np.full(len(rows_L), -1), read_s=world.end_s, embedded_I=np.zeros(0, np.bool_))
    assert len(nothing.rows_L) == 0


def test_sources_have_names_of_their_own_and_weights_above_0():
    names = [source.name for source in SOURCES]
    assert len(set(names)) == len(names)
    assert all(source.weight > 0 for source in SOURCES)


def test_the_source_that_is_always_asked_needs_neither_user_nor_model(world):
    bare = world.state(with_model=False)
    proposals = SOURCES[0].propose(context_of(world, bare, "never seen"), num_candidates=10)
    assert not SOURCES[0].needs_model
    assert len(proposals.rows_K) == 10


def test_sources_of_training_lists_propose_the_same_without_a_release(world, state):
    bare = world.state(with_model=False)
    for user_id in world.user_ids[:10]:
        with_model = context_of(world, state, user_id, tower=PlainModel())
        without = context_of(world, bare, user_id)
        for source in (each for each in SOURCES if not each.needs_model):
            mine, theirs = (source.propose(c, num_candidates=50) for c in (with_model, without))
            np.testing.assert_array_equal(mine.rows_K, theirs.rows_K)
        for source in (each for each in SOURCES if each.needs_model):
            assert not len(source.propose(without, num_candidates=50).rows_K), source.name


def test_sources_propose_allowed_items_best_first_and_say_why(world, state):
    contexts = [context_of(world, state, user_id, tower=PlainModel()) for user_id in world.user_ids[:5]]
    row = int(contexts[0].own_rows_J[0])
    allowed_I = allowed_items(state.catalogue, as_of_s=world.end_s, excluded=[state.catalogue.item_ids[row]])
    about_an_item = item_context(row, state.catalogue, world.scoring, allowed_I=allowed_I)
    asked = [(source, context) for source in SOURCES for context in contexts]
    for source, context in [*asked, *((source, about_an_item) for source in FINDING_SIMILAR)]:
        proposals = source.propose(context, num_candidates=20)
        assert 0 < len(proposals.rows_K) <= 20, source.name
        assert context.allowed_I[proposals.rows_K].all()
        assert (np.diff(proposals.scores_K) <= 0).all()
        for proposed in proposals.rows_K.tolist():
            for reason in source.reasons(proposed, context):
                assert getattr(reason, "own", 0) < max(context.profile.num_items, 1)
