"""Laws of recommend(): order, filters, pages, session events, deadlines and fallbacks."""

import dataclasses

import numpy as np
import pytest

from mmrec.errors import DeadlineError, InvalidRequestError, NotFoundError, StoreError
from mmrec.recall.fusion import fuse
from mmrec.recall.item_filter import Condition, ItemFilter
from mmrec.recall.sources.own_items import OwnItems
from mmrec.recall.sources.popular_items import PopularItems
from mmrec.recall.sources.registry import SOURCES
from mmrec.scoring.behaviors import BehaviorSet
from mmrec.serving.item_record import ItemUpdate
from mmrec.serving.recommend import Deadline, Degradation, ListRequest, SessionEvent, recommend
from mmrec.serving.similar import similar
from tests.serving_world import ServingWorld, no_deadline, serving_world


@pytest.fixture(scope="module")
def world() -> ServingWorld:
    return serving_world()


@pytest.fixture(scope="module")
def state(world):
    return world.state()


@pytest.fixture(scope="module")
def user(world) -> str:
    """Somebody with a fair number of items."""
    return max(world.user_ids[:40], key=lambda key: world.read_profile(key).num_items)


def ids_of(found) -> list[str]:
    return [found.context.catalogue.item_ids[row] for row in found.rows_K]


def ask(world, state, user_key, *, deadline=None, read_profile=None, sources=SOURCES, **changes):
    request = ListRequest(user_key=user_key, as_of_s=world.end_s, **changes)
    return recommend(
        request,
        state=state,
        read_profile=read_profile or world.read_profile,
        deadline=deadline or no_deadline(),
        sources=sources,
    )


def test_the_same_state_and_request_give_the_same_list(world, state, user):
    first, second = ask(world, state, user), ask(world, state, user)
    assert ids_of(first) == ids_of(second)
    assert first.ranking_scores_K.tolist() == second.ranking_scores_K.tolist()
    assert first.degraded == ()


def test_a_list_holds_no_item_twice_and_is_ordered_by_score(world, state, user):
    found = ask(world, state, user, num_items=200)
    assert len(set(ids_of(found))) == len(found.rows_K)
    assert (np.diff(found.ranking_scores_K) <= 0).all()


def test_pages_share_no_item_and_go_on_where_the_page_before_ended(world, state, user):
    first = ask(world, state, user, num_items=10)
    second = ask(world, state, user, num_items=10, shown_item_ids=tuple(ids_of(first)))
    assert not set(ids_of(first)) & set(ids_of(second))
    whole = ask(world, state, user, num_items=20)
    assert ids_of(whole)[:10] == ids_of(first)


def test_excluded_and_bought_items_are_never_shown(world, state, user):
    shown = ids_of(ask(world, state, user))
    without = ids_of(ask(world, state, user, excluded_item_ids=tuple(shown[:3])))
    assert not set(shown[:3]) & set(without)
    profile = world.read_profile(user)
    purchase = world.scoring.behaviors.index("purchase")
    bought = {
        i
        for i, c in zip(profile.item_ids, profile.counts(world.scoring.behaviors)[:, 0, purchase], strict=True)
        if c > 0
    }
    assert bought
    everything = ids_of(ask(world, state, user, num_items=200))
    assert not bought & set(everything)


def test_every_filter_condition_holds_for_every_item(world, state, user):
    entry = world.entries[0]
    name, value = next(iter(entry.attributes.items()))
    condition = ItemFilter(
        conditions=(Condition(attribute=name, values=(value,)),),
        domain=entry.domain,
        price_min=entry.price * 0.2,
        price_max=entry.price * 5,
    )
    found = ask(world, state, user, item_filter=condition)
    assert len(found.rows_K)
    for row in found.rows_K:
        shown = found.context.catalogue.entries[row]
        assert value in shown.attributes[name].split("|")
        assert shown.domain == entry.domain
        assert entry.price * 0.2 <= shown.price <= entry.price * 5


def test_a_filter_value_that_holds_several_stands_for_each_of_them(world, state, user):
    colors = sorted({entry.attributes["color"] for entry in world.entries if "color" in entry.attributes})[:2]
    both = ask(
        world,
        state,
        user,
        num_items=200,
        item_filter=ItemFilter(conditions=(Condition(attribute="color", values=tuple(colors)),)),
    )
    shown = ask(
        world,
        state,
        user,
        num_items=200,
        item_filter=ItemFilter(conditions=(Condition(attribute="color", values=(" | ".join(colors),)),)),
    )
    assert len(both.rows_K)
    assert both.rows_K.tolist() == shown.rows_K.tolist()


def test_a_filter_that_nothing_passes_gives_an_empty_list(world, state, user):
    found = ask(
        world,
        state,
        user,
        item_filter=ItemFilter(conditions=(Condition(attribute="color", values=("no such color",)),)),
    )
    assert len(found.rows_K) == 0
    assert not found.has_more


def test_a_session_click_moves_its_neighbors_up_and_leaves_the_stored_profile_alone(world, state, user):
    before = world.store.read_profiles([user])[user]
    touched = set(before.item_ids)
    catalogue = state.catalogue
    first = ids_of(ask(world, state, user))
    fresh = next(
        item_id
        for row, item_id in enumerate(catalogue.item_ids)
        if item_id not in touched and (catalogue.neighbors.rows_IK[row] >= 0).sum() >= 5
    )
    clicks = tuple(SessionEvent(item_id=fresh, behavior="browse") for _ in range(3))
    neighbors = {catalogue.item_ids[row] for row in catalogue.neighbors.rows_IK[catalogue.row_of[fresh]] if row >= 0}
    after = ids_of(ask(world, state, user, session_events=clicks))
    assert after != first
    assert (set(after) - set(first)) & (neighbors | {fresh})
    assert world.store.read_profiles([user])[user].num_events == before.num_events


def test_an_event_that_the_profile_has_already_counts_once(world, state):
    events = (
        SessionEvent(item_id=world.entries[0].item_id, behavior="cart", event_id="same"),
        SessionEvent(item_id=world.entries[0].item_id, behavior="cart", event_id="same"),
    )
    found = ask(world, state, "nobody yet", session_events=events)
    assert found.context.profile.num_events == 1


def test_users_nobody_knows_get_popular_items(world, state):
    found = ask(world, state, "never seen")
    assert len(found.rows_K) == 20
    assert set(found.candidates.sources_of(int(found.rows_K[0]))) == {"popular"}


def test_a_session_without_a_user_gets_a_list(world, state):
    click = SessionEvent(item_id=world.entries[3].item_id, behavior="favorite")
    found = ask(world, state, "", session_events=(click,))
    assert len(found.rows_K) == 20
    assert any("neighbors" in found.candidates.sources_of(int(row)) for row in found.rows_K)


def test_without_a_release_lists_come_in_recall_order_and_say_so(world, user):
    found = ask(world, world.state(with_model=False), user)
    assert found.degraded == (Degradation.NO_RELEASE,)
    assert len(found.rows_K) == 20
    assert ids_of(found) == [found.context.catalogue.item_ids[row] for row in found.candidates.rows_N[:20]]


class StepClock:
    """Each look takes as long as told."""

    def __init__(self, step_s: float) -> None:
        self.now_s, self.step_s = 0.0, step_s

    def __call__(self) -> float:
        self.now_s += self.step_s
        return self.now_s


@pytest.mark.parametrize(
    ("at_s", "expected"),
    [
        (0.016, {Degradation.SOURCES_SKIPPED}),
        (0.013, {Degradation.SOURCES_SKIPPED}),
        (0.0095, {Degradation.SOURCES_SKIPPED, Degradation.RANKING_SKIPPED}),
    ],
)
def test_a_short_deadline_degrades_by_name_and_still_answers(world, state, user, at_s, expected):
    found = ask(world, state, user, deadline=Deadline(at_s=at_s, clock=StepClock(0.002)))
    assert set(found.degraded) == expected
    assert len(found.rows_K) == 20


def test_a_deadline_that_has_passed_is_an_error(world, state, user):
    with pytest.raises(DeadlineError, match="passed"):
        ask(world, state, user, deadline=Deadline(at_s=1.0, clock=lambda: 2.0))


def test_a_source_that_breaks_does_not_take_the_list_with_it(world, state, user):
    class Broken:
        name, weight = "broken", 1.0

        def propose(self, context, *, num_candidates):
            raise RuntimeError("no luck")

    found = ask(world, state, user, sources=(PopularItems(), Broken(), OwnItems()))
    assert found.degraded == (Degradation.SOURCE_FAILED,)
    assert len(found.rows_K) == 20


def test_a_ranker_that_breaks_leaves_recall_order(world, state, user):
    class Broken(type(state.model)):
        def rank(self, features_NF):
            raise RuntimeError("no luck")

    found = ask(world, dataclasses.replace(state, model=Broken()), user)
    assert found.degraded == (Degradation.RANKING_FAILED,)
    assert (found.rows_K == found.candidates.rows_N[:20]).all()


def test_a_store_that_is_away_leaves_popular_items_and_session_events(world, state, user):
    def away(_):
        raise StoreError("the online store is away")

    found = ask(world, state, user, read_profile=away)
    assert found.degraded == (Degradation.PROFILE_UNAVAILABLE,)
    assert len(found.rows_K) == 20


def test_requests_that_cannot_be_say_what_would_be_right(world, state, user):
    with pytest.raises(InvalidRequestError, match="num_items is 201"):
        ask(world, state, user, num_items=201)
    with pytest.raises(InvalidRequestError, match="browse"):
        ask(world, state, user, session_events=(SessionEvent(item_id="x", behavior="stare"),))
    with pytest.raises(InvalidRequestError, match="no item_id"):
        ask(world, state, user, session_events=(SessionEvent(item_id="", behavior="browse"),))


def test_similar_items_share_more_attributes_than_chance_and_leave_the_item_out(world, state):
    def shared(a, b) -> int:
        return len(set(a.attributes.items()) & set(b.attributes.items()))

    near, all_pairs = [], []
    for entry in world.entries[:20]:
        found = similar(
            entry.item_id,
            as_of_s=world.end_s,
            num_items=10,
            excluded_item_ids=(),
            item_filter=ItemFilter(),
            state=state,
        )
        assert entry.item_id not in ids_of(found)
        near += [shared(entry, state.catalogue.entries[row]) for row in found.rows_K]
        all_pairs += [shared(entry, other) for other in world.entries if other is not entry]
    assert np.mean(near) > 1.5 * np.mean(all_pairs)


def test_items_like_an_unknown_or_unnamed_item_are_errors(world, state):
    with pytest.raises(NotFoundError, match="'nothing'"):
        similar(
            "nothing", as_of_s=world.end_s, num_items=5, excluded_item_ids=(), item_filter=ItemFilter(), state=state
        )
    with pytest.raises(InvalidRequestError, match="empty"):
        similar("", as_of_s=world.end_s, num_items=5, excluded_item_ids=(), item_filter=ItemFilter(), state=state)


def test_items_like_a_removed_item_are_an_error(world):
    keeper = world.keeper()
    gone = world.entries[0].item_id
    keeper.take([ItemUpdate(item_id=gone, entry=None)])
    keeper.publish()
    with pytest.raises(NotFoundError, match=gone):
        similar(
            gone,
            as_of_s=world.end_s,
            num_items=5,
            excluded_item_ids=(),
            item_filter=ItemFilter(),
            state=world.state(keeper),
        )


def test_similar_items_say_that_the_promoted_release_does_not_serve(world):
    for with_model, expected in ((True, ()), (False, (Degradation.NO_RELEASE,))):
        state = world.state(with_model=with_model, unusable_release=True)
        asked = {"as_of_s": world.end_s, "num_items": 5, "excluded_item_ids": (), "item_filter": ItemFilter()}
        found = similar(world.entries[0].item_id, **asked, state=state)
        assert found.degraded == (Degradation.RELEASE_UNUSABLE, *expected)


def test_the_ranker_reads_the_weights_it_was_trained_with(world, state, user):
    """Weights change while a release serves: recall follows, the ranker's rows are those of its training."""
    heavier = BehaviorSet(tuple(dataclasses.replace(b, weight=7.0 * b.weight + 1.0) for b in state.scoring.behaviors))
    scoring = dataclasses.replace(state.scoring, behaviors=heavier)
    changed = dataclasses.replace(state, scoring=scoring, ranker_behaviors=state.scoring.behaviors)
    before, after = (
        ask(world, state, user, sources=(PopularItems(),)),
        ask(world, changed, user, sources=(PopularItems(),)),
    )
    assert (after.context.affinity_J > before.context.affinity_J).any()
    assert before.candidates.rows_N.tolist() == after.candidates.rows_N.tolist()
    assert (before.features_NF == after.features_NF).all()
    untold = dataclasses.replace(changed, ranker_behaviors=None)
    assert (ask(world, untold, user, sources=(PopularItems(),)).features_NF != before.features_NF).any()


def test_fusion_keeps_every_proposal_once(world, state, user):
    found = ask(world, state, user)
    proposals = [(s, s.propose(found.context, num_candidates=50)) for s in SOURCES]
    candidates = fuse(proposals, num_candidates=10_000)
    assert sorted(candidates.rows_N.tolist()) == sorted({row for _, p in proposals for row in p.rows_K.tolist()})
    assert (np.diff(candidates.recall_scores_N) <= 0).all()


def test_weights_that_a_release_learned_order_candidates_and_name_the_leading_source(world, state, user):
    def weighted(**weights):
        own = {source.name: 0.001 for source in SOURCES}
        return ask(world, dataclasses.replace(state, source_weights={**own, **weights}), user, num_items=50)

    for name in ("popular", "neighbors"):
        found = weighted(**{name: 1_000.0})
        source, proposals = next(pair for pair in found.candidates.found if pair[0].name == name)
        head = min(len(proposals.rows_K), 20)
        assert found.candidates.rows_N[:head].tolist() == proposals.rows_K[:head].tolist()
        assert next(iter(found.candidates.sources_of(int(proposals.rows_K[0])))) == source.name
    same = {source.name: source.weight for source in SOURCES}
    found, plain = weighted(**same), ask(world, state, user, num_items=50)
    assert found.candidates.rows_N.tolist() == plain.candidates.rows_N.tolist()


def test_diversity_changes_the_order_and_nothing_else(world, state, user):
    plain = ask(world, state, user, num_items=60)
    spread = ask(world, dataclasses.replace(state, diversity=0.5), user, num_items=60)
    assert sorted(plain.rows_K.tolist()) == sorted(spread.rows_K.tolist())
    assert plain.rows_K.tolist() != spread.rows_K.tolist()
