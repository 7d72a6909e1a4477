"""Laws of the one function that turns stored state into feature rows."""

import dataclasses

import numpy as np
import pytest

from mmrec.features.assemble import FEATURE_NAMES, NOT_OWN, CandidateSignals, ItemFacts, assemble, feature_names
from mmrec.features.item_columns import Vocabulary, content_columns
from mmrec.recall.context import allowed_items, recall_context
from mmrec.recall.neighbors_reference import item_pulls, neighbor_scores
from mmrec.scoring.as_of import profile_as_of
from mmrec.scoring.behaviors import Behavior, behavior_set, media_behaviors, shop_behaviors
from mmrec.scoring.decay import decay
from mmrec.scoring.profile import align_behaviors, empty_profile
from tests.serving_world import ServingWorld, serving_world

BEHAVIORS = shop_behaviors()
RATES_H = np.log(2.0) / np.array([1.0, 7.0, 30.0])


@pytest.fixture(scope="module")
def world() -> ServingWorld:
    return serving_world(num_users=40, num_items=80, days=10)


def facts_from_store(world: ServingWorld, item_ids, profile, *, vocabulary=None) -> ItemFacts:
    """Facts as a training job makes them: straight from stored values, item by item."""
    entries = {e.item_id: e for e in world.entries}
    statistics = world.store.read_item_statistics(item_ids)
    vocabulary = vocabulary or Vocabulary()
    counts = np.zeros((len(item_ids), 3, len(BEHAVIORS)))
    references = np.full(len(item_ids), -np.inf)
    for row, item_id in enumerate(item_ids):
        if item_id in statistics:
            stored = statistics[item_id]
            counts[row] = align_behaviors(stored.counts_HB, stored.behavior_ids_B, BEHAVIORS)
            references[row] = stored.reference_time_s
    position = {item_id: number for number, item_id in enumerate(profile.item_ids)}
    return ItemFacts(
        own_positions_N=np.array([position.get(item_id, NOT_OWN) for item_id in item_ids], dtype=np.int64),
        content=content_columns([entries.get(i) for i in item_ids], vocabulary=vocabulary),
        profile_content=content_columns([entries.get(i) for i in profile.item_ids], vocabulary=vocabulary),
        counts_NHB=counts,
        reference_times_N=references,
        decay_per_day_H=RATES_H,
    )


def rows(world, item_ids, profile, *, as_of_s=None, signals=None, facts=None):
    signals = signals or CandidateSignals(
        tower_similarity_N=np.full(len(item_ids), np.nan), neighbor_score_N=np.full(len(item_ids), np.nan)
    )
    return assemble(
        profile,
        facts or facts_from_store(world, item_ids, profile),
        signals,
        as_of_s=world.end_s if as_of_s is None else as_of_s,
        behaviors=BEHAVIORS,
        decay_per_day=0.05,
    )


def column(features_NF, name):
    return features_NF[:, FEATURE_NAMES.index(name)]


def test_names_say_how_wide_a_row_is_for_any_behaviors():
    assert len(set(FEATURE_NAMES)) == len(FEATURE_NAMES)
    media = feature_names(media_behaviors(), num_half_lives=2)
    assert len(media) == len(FEATURE_NAMES) - 4 * 2 - 1
    assert "own_count_log_like" in media


def test_serving_and_training_make_the_same_rows(world):
    keeper = world.keeper()
    catalogue = keeper.catalogue
    for user_key in world.user_ids[:10]:
        profile = world.read_profile(user_key)
        serving = rows(
            world,
            catalogue.item_ids,
            profile,
            facts=catalogue.facts(np.arange(len(catalogue.item_ids)), catalogue.rows(profile.item_ids)),
        )
        training = rows(world, list(catalogue.item_ids), profile)
        assert (serving == training).all()


def test_neighbor_scores_of_serving_equal_their_definition(world):
    catalogue = world.keeper().catalogue
    profile = world.read_profile(world.user_ids[0])
    state = profile_as_of(profile, as_of_s=world.end_s, behaviors=world.scoring.behaviors, decay_per_day=0.05)
    strengths_J = state.counts_IB @ world.scoring.behaviors.weights_B
    times_J = state.read_s - state.ages_I
    assert len(set(times_J.tolist())) > 3
    own = dict(zip(profile.item_ids, zip(strengths_J.tolist(), times_J.tolist(), strict=True), strict=True))
    expected = neighbor_scores(
        item_pulls(
            own,
            as_of_s=state.read_s,
            decay_per_day=world.scoring.neighbor_decay_per_day,
            order_decay=world.scoring.neighbor_order_decay,
        ),
        world.store.read_neighbors(catalogue.item_ids),
        catalogue.item_ids,
    )
    allowed_I = allowed_items(catalogue, as_of_s=world.end_s)
    context = recall_context(profile, catalogue, world.scoring, as_of_s=world.end_s, allowed_I=allowed_I)
    assert np.allclose(context.neighbor_scores_I, expected, rtol=1e-9)
    assert expected.any()


def test_the_numbering_of_attribute_values_changes_nothing(world):
    profile = world.read_profile(world.user_ids[1])
    item_ids = [e.item_id for e in world.entries]
    shuffled = Vocabulary()
    for entry in reversed(world.entries):
        for name, value in entry.attributes.items():
            shuffled.token(name, value)
    other = facts_from_store(world, item_ids, profile, vocabulary=shuffled)
    assert (rows(world, item_ids, profile) == rows(world, item_ids, profile, facts=other)).all()


def test_a_row_does_not_depend_on_the_other_candidates(world):
    profile = world.read_profile(world.user_ids[2])
    item_ids = [e.item_id for e in world.entries]
    later_s = world.end_s + 86_400.0
    whole = rows(world, item_ids, profile, as_of_s=later_s)
    assert (rows(world, item_ids[10:13], profile, as_of_s=later_s) == whole[10:13]).all()


def test_own_counts_are_the_decayed_counts(world):
    profile = world.read_profile(world.user_ids[3])
    item_ids = list(profile.item_ids)
    as_of_s = world.end_s + 5 * 86_400.0
    got = rows(world, item_ids, profile, as_of_s=as_of_s)
    left = decay(as_of_s - profile.reference_times_I, decay_per_day=0.05)
    for position, name in enumerate(BEHAVIORS.names):
        expected = np.log1p(profile.counts(BEHAVIORS)[:, 0, position] * left)
        assert np.allclose(column(got, f"own_count_log_{name}"), expected, rtol=1e-6)
    assert (column(got, "own_touched") == 1).all()


def test_state_is_never_read_before_its_newest_event(world):
    profile = world.read_profile(world.user_ids[4])
    item_ids = [e.item_id for e in world.entries]
    past, at = rows(world, item_ids, profile, as_of_s=0.0), rows(world, item_ids, profile, as_of_s=1.0)
    assert (past == at).all()


def test_rows_are_finite_whatever_is_missing(world):
    nobody = empty_profile(behaviors=BEHAVIORS, num_half_lives=1)
    unknown = ["no such item", *(e.item_id for e in world.entries[:3])]
    for profile in (nobody, world.read_profile(world.user_ids[0])):
        with np.errstate(all="raise"):
            got = rows(world, unknown, profile)
        assert got.dtype == np.float32
        assert np.isfinite(got).all()
        assert (rows(world, [], profile).shape) == (0, len(FEATURE_NAMES))


def test_a_signal_nobody_has_and_a_signal_of_zero_give_the_same_row(world):
    profile = world.read_profile(world.user_ids[0])
    item_ids = [e.item_id for e in world.entries[:5]]
    zero = CandidateSignals(tower_similarity_N=np.zeros(5), neighbor_score_N=np.zeros(5))
    assert (rows(world, item_ids, profile) == rows(world, item_ids, profile, signals=zero)).all()
    known = dataclasses.replace(zero, neighbor_score_N=np.full(5, 2.0))
    assert (column(rows(world, item_ids, profile, signals=known), "neighbor_known") == 1).all()


def test_what_was_taken_back_counts_for_nothing(world):
    """An undo that cancels: item statistics with as many undos as favorites read as if there were neither."""
    undo = Behavior(name="unfavorite", behavior_id=9, weight=0.0, undo_of="favorite", undo="cancel")
    behaviors = behavior_set([*BEHAVIORS, undo])
    item_ids = [e.item_id for e in world.entries][:6]
    profile = world.read_profile(world.user_ids[1])
    known = facts_from_store(world, item_ids, profile)
    counts_NHB = np.zeros((*known.counts_NHB.shape[:2], len(behaviors)))
    counts_NHB[..., behaviors.index("browse")] = 3.0
    taken_back_NHB = counts_NHB.copy()
    taken_back_NHB[..., behaviors.index("favorite")] = 2.0
    taken_back_NHB[..., behaviors.index("unfavorite")] = 2.0
    signals = CandidateSignals(tower_similarity_N=np.full(6, np.nan), neighbor_score_N=np.full(6, np.nan))
    plain, undone = (
        assemble(
            profile,
            dataclasses.replace(known, counts_NHB=counts),
            signals,
            as_of_s=world.end_s,
            behaviors=behaviors,
            decay_per_day=0.05,
        )
        for counts in (counts_NHB, taken_back_NHB)
    )
    assert (plain == undone).all()
