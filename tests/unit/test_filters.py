"""Laws of filters: none leaks on any method, lists stay full, and what is no filter is refused by name."""

import dataclasses
import math

import numpy as np
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from mmrec.catalog.item import Availability, CatalogEntry
from mmrec.catalog.values import attribute_values, folded, number_of
from mmrec.cli.where import attribute_filter
from mmrec.config import EventSettings, SearchSettings
from mmrec.content.query_encoder import NoQueryEncoder
from mmrec.errors import InvalidRequestError
from mmrec.recall.item_filter import Condition, ConditionKind, ItemFilter, NumberRange
from mmrec.serving.explain_item import Outcome, explain_item
from mmrec.serving.filters import MAX_CONDITIONS, MAX_VALUES, item_filter
from mmrec.serving.recommend import ListRequest, recommend
from mmrec.serving.rows_answer import rows_answer
from mmrec.serving.search import search
from mmrec.serving.search_content import SearchContent
from mmrec.serving.search_request import search_request
from mmrec.serving.similar import similar
from mmrec.v1 import recommender_pb2
from tests.serving_world import ServingWorld, no_deadline, serving_world

DAY_S = 86_400.0


@pytest.fixture(scope="module")
def world() -> ServingWorld:
    """Items with numbers, several values, an end, and no stock, besides what the storefront gives them."""
    plain = serving_world(num_users=30, num_items=90, days=8.0)
    return dataclasses.replace(plain, entries=[_varied(n, e, plain.end_s) for n, e in enumerate(plain.entries)])


def _varied(number: int, entry: CatalogEntry, end_s: float) -> CatalogEntry:
    several = {"uses": ("Office|Travel", "travel", "Sport | OFFICE | home")[number % 3]} if number % 4 else {}
    size = {"inches": ("10", "11.5", "13.0 | 15", "large")[number % 4]} if number % 5 else {}
    return dataclasses.replace(
        entry,
        attributes={**entry.attributes, **several, **size},
        availability=(Availability.OUT_OF_STOCK, Availability.HIDDEN)[number % 2]
        if number % 9 == 0
        else entry.availability,
        price=0.0 if number % 17 == 0 else entry.price,
        publish_time_s=0.0 if number % 13 == 0 else entry.publish_time_s,
        expire_time_s=end_s + (number % 6) * DAY_S if number % 6 else 0.0,
    )


@pytest.fixture(scope="module")
def state(world):
    return world.state()


@pytest.fixture(scope="module")
def content(world) -> SearchContent:
    made = SearchContent()
    made.introduce(tuple(world.entries))
    return made


def lets_through(entry: CatalogEntry, wanted: ItemFilter, now_s: float) -> bool:
    """The reference: what a filter means for one item, and whether a list may hold it."""
    stocked = {0, 1, 2} if wanted.includes_out_of_stock else {0, 1}
    published_s = entry.publish_time_s or None
    holds = [
        int(entry.availability) in stocked,
        (published_s or 0.0) <= now_s,
        not entry.has_expired(now_s),
        not wanted.domain or folded(wanted.domain) == folded(entry.domain),
        not wanted.price_min or entry.price >= wanted.price_min,
        not wanted.price_max or 0 < entry.price <= wanted.price_max,
        wanted.published_after_s == -math.inf or (published_s or -math.inf) >= wanted.published_after_s,
        wanted.published_before_s == math.inf or (published_s or math.inf) < wanted.published_before_s,
        wanted.shown_until_s == -math.inf or not entry.has_expired(wanted.shown_until_s),
    ]
    for each in wanted.conditions:
        has = {folded(value) for value in attribute_values(entry.attributes.get(each.attribute, ""))}
        asked = {folded(part) for value in each.values for part in attribute_values(value)}
        kinds = {ConditionKind.ANY: bool(has & asked), ConditionKind.ALL: asked <= has}
        holds.append(kinds.get(each.kind, not has & asked))
    for bounds in wanted.numbers:
        numbers = [number_of(value) for value in attribute_values(entry.attributes.get(bounds.attribute, ""))]
        holds.append(any(n is not None and bounds.least <= n <= bounds.most for n in numbers))
    return all(holds)


CONDITIONS = st.builds(
    Condition,
    attribute=st.sampled_from(["uses", "color", "brand", "never an attribute"]),
    values=st.lists(
        st.sampled_from(["office", "Travel", "home | sport", "sand", "TEAL", "Lumi", "no such value"]), min_size=1
    ).map(tuple),
    kind=st.sampled_from(ConditionKind),
)
NUMBERS = st.builds(
    NumberRange,
    attribute=st.sampled_from(["inches", "uses"]),
    least=st.sampled_from([-math.inf, 10.0, 11.5, 14.0]),
    most=st.sampled_from([11.0, 13.0, 15.0, math.inf]),
)


def filters(end_s: float) -> st.SearchStrategy[ItemFilter]:
    instants = st.integers(-400, 5).map(lambda days: end_s + days * DAY_S)
    return st.builds(
        ItemFilter,
        conditions=st.lists(CONDITIONS, max_size=2).map(tuple),
        numbers=st.lists(NUMBERS, max_size=1).map(tuple),
        domain=st.sampled_from(["", "", "Beauty", "fashion", "no such domain"]),
        price_min=st.sampled_from([0.0, 0.0, 20.0]),
        price_max=st.sampled_from([0.0, 0.0, 45.0, 80.0]),
        published_after_s=st.just(-math.inf) | instants,
        published_before_s=st.just(math.inf) | instants,
        shown_until_s=st.just(-math.inf) | instants,
        includes_out_of_stock=st.booleans(),
    )


def as_message(wanted: ItemFilter) -> recommender_pb2.AttributeFilter:
    made = recommender_pb2.AttributeFilter(
        domain=wanted.domain,
        price_min=wanted.price_min,
        price_max=wanted.price_max,
        includes_out_of_stock=wanted.includes_out_of_stock,
    )
    for each in wanted.conditions:
        made.conditions.add(attribute=each.attribute, values=each.values, kind=each.kind.value)
    for bounds in wanted.numbers:
        numbers = made.numbers.add(attribute=bounds.attribute)
        if math.isfinite(bounds.least):
            numbers.min = bounds.least
        if math.isfinite(bounds.most) or not math.isfinite(bounds.least):
            numbers.max = min(bounds.most, 1e9)
    for name in ("published_after", "published_before", "shown_until"):
        if math.isfinite(at_s := getattr(wanted, f"{name}_s")):
            getattr(made, name).CopyFrom(Timestamp(seconds=int(at_s)))
    return made


@given(data=st.data())
def test_a_filter_never_leaks_and_lists_are_as_full_as_the_catalogue_allows(world, state, content, data):
    wanted = data.draw(filters(world.end_s))
    may = {e.item_id for e in world.entries if lets_through(e, wanted, world.end_s)}
    user = world.user_ids[0]
    request = ListRequest(user_key=user, as_of_s=world.end_s, num_items=10, item_filter=wanted)
    asked = {"state": state, "read_profile": world.read_profile, "deadline": no_deadline()}
    listed = recommend(request, **asked)
    assert {state.catalogue.item_ids[row] for row in listed.rows_K} <= may
    own = listed.context.own_rows_J  # what the user bought is off the lists
    bought = may - {state.catalogue.item_ids[row] for row in np.flatnonzero(listed.context.allowed_I)}
    assert bought <= {state.catalogue.item_ids[row] for row in own}
    assert len(listed.rows_K) == min(10, len(may - bought))
    one = next(e.item_id for e in world.entries if lets_through(e, ItemFilter(), world.end_s))
    near = similar(one, as_of_s=world.end_s, num_items=10, excluded_item_ids=(), item_filter=wanted, state=state)
    assert {state.catalogue.item_ids[row] for row in near.rows_K} <= may
    assert len(near.rows_K) == min(10, len(may - {one}))
    message = recommender_pb2.SearchItemsRequest(query=[{"item_id": one}, {"text": "Lumi"}], num_items=10)
    looked = dataclasses.replace(
        search_request(message, now_s=world.end_s, limits=SearchSettings()), item_filter=wanted
    )
    found = search(looked, content=content, encoder=NoQueryEncoder(), **asked)
    assert {found.catalogue.item_ids[row] for row in found.rows_K} <= may
    for entry in world.entries[:3]:
        outcome = explain_item(entry.item_id, request, **asked).outcome
        assert entry.item_id in may or outcome in {Outcome.FILTERED, Outcome.UNAVAILABLE}


@given(data=st.data())
def test_a_filter_sent_as_a_message_is_the_same_filter_on_every_row_of_a_page(world, state, data):
    wanted = data.draw(filters(world.end_s).filter(lambda f: f.published_after_s < f.published_before_s))
    wanted = dataclasses.replace(wanted, numbers=tuple(n for n in wanted.numbers if n.least <= n.most))
    message = as_message(wanted)
    may = {e.item_id for e in world.entries if lets_through(e, wanted, world.end_s)}
    passing_I = state.catalogue.passing(item_filter(message))
    assert (passing_I == state.catalogue.passing(wanted)).all()
    page = rows_answer(
        recommender_pb2.RecommendRowsRequest(user_id=world.user_ids[0], filter=message),
        state=state,
        read_profile=world.read_profile,
        deadline=no_deadline(),
        now_s=world.end_s,
        bounds=EventSettings(),
    )
    assert {item.item_id for row in page.rows for item in row.items} <= may


def test_what_is_out_of_stock_is_listed_where_the_request_says_so_and_told_apart(world, state):
    gone = {e.item_id for e in world.entries if e.availability is Availability.OUT_OF_STOCK}
    wanted = item_filter(attribute_filter(["stock=any"]))
    request = ListRequest(user_key="", as_of_s=world.end_s, num_items=200, item_filter=wanted)
    found = recommend(request, state=state, read_profile=world.read_profile, deadline=no_deadline())
    listed = [state.catalogue.entries[row] for row in found.rows_K]
    assert {e.item_id for e in listed if not e.has_expired(world.end_s)} >= {
        e.item_id for e in world.entries if e.item_id in gone and not e.has_expired(world.end_s)
    }
    for entry in listed:
        told = recommender_pb2.RecommendedItem.FromString(entry.listed)
        assert told.out_of_stock == (entry.item_id in gone)


def test_a_number_is_a_number_alone():
    assert [number_of(text) for text in ("13", "13.50", " -2e3 ", ".5", "１３")] == [13.0, 13.5, -2000.0, 0.5, 13.0]
    assert {number_of(text) for text in ("", "13 in", "1_000", "nan", "inf", "1e999", "0x10", "1,5", "--1")} == {None}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"conditions": [{"attribute": "color"}]}, "at least one value"),
        ({"conditions": [{"values": ["red"]}]}, "needs an attribute"),
        ({"conditions": [{"attribute": "color", "values": [" | "]}]}, "value ' | '; give a text"),
        ({"conditions": [{"attribute": "color", "values": ["red"], "kind": 7}]}, "kind 7; give one of CONDITION_KIND_"),
        ({"conditions": [{"attribute": "c", "values": ["r"] * (MAX_VALUES + 1)}]}, f"give at most {MAX_VALUES}"),
        ({"conditions": [{"attribute": "c", "values": ["r"]}] * (MAX_CONDITIONS + 1)}, f"at most {MAX_CONDITIONS}"),
        ({"numbers": [{"attribute": "i", "min": 1.0}] * (MAX_CONDITIONS + 1)}, f"at most {MAX_CONDITIONS}"),
        ({"numbers": [{"min": 1.0}]}, "needs an attribute"),
        ({"numbers": [{"attribute": "inches"}]}, "'inches' has no bound"),
        ({"numbers": [{"attribute": "inches", "max": math.nan}]}, "give finite numbers"),
        ({"numbers": [{"attribute": "inches", "min": -math.inf}]}, "give finite numbers"),
        ({"numbers": [{"attribute": "inches", "min": 3.0, "max": 2.0}]}, "from 3.0 to 2.0; give the lower one as min"),
        ({"price_min": -1.0}, "-1.0 is no price"),
        ({"price_max": math.inf}, "inf is no price"),
        ({"price_min": 9.0, "price_max": 3.0}, "price_min 9.0 is above price_max 3.0"),
        ({"shown_until": {"nanos": -1}}, "filter.shown_until is 0 s and -1 ns"),
        ({"published_after": {"seconds": 9}, "published_before": {"seconds": 9}}, "is not before published_before"),
    ],
)
def test_what_is_no_filter_is_refused_with_what_would_be_right(change, says):
    with pytest.raises(InvalidRequestError) as caught:
        item_filter(recommender_pb2.AttributeFilter(**change))
    assert says in str(caught.value)


def test_a_command_line_says_every_condition():
    made = attribute_filter(
        [
            *("color=red", "color=blue", "color!=dark red", "uses&=office", "uses&=home", "kind=dress=long"),
            *("inches>=13", "inches<=15.5", "price>=10", "price<=50", "domain=fashion", "stock=any"),
            *("published>=2026-01-31", "published<2026-02-28T12:00:00Z", "shown>=2026-03-01"),
        ]
    )
    kinds = {"ANY": 1, "ALL": 2, "NONE": 3}
    assert [(c.attribute, list(c.values), c.kind) for c in made.conditions] == [
        ("color", ["red", "blue"], kinds["ANY"]),
        ("color", ["dark red"], kinds["NONE"]),
        ("uses", ["office", "home"], kinds["ALL"]),
        ("kind", ["dress=long"], kinds["ANY"]),
    ]
    assert [(n.attribute, n.min, n.max) for n in made.numbers] == [("inches", 13.0, 15.5)]
    assert (made.price_min, made.price_max, made.domain, made.includes_out_of_stock) == (10.0, 50.0, "fashion", True)
    assert made.published_after.ToJsonString() == "2026-01-31T00:00:00Z"
    assert made.published_before.ToJsonString() == "2026-02-28T12:00:00Z"
    assert made.shown_until.ToJsonString() == "2026-03-01T00:00:00Z"


@pytest.mark.parametrize(
    "condition",
    [
        *("color", "=red", "color=", "price<50", "published<=2026-01-31", "shown<2026-01-31"),
        *("price>=cheap", "stock=none", "published>=soon", "inches>=wide"),
    ],
)
def test_a_condition_that_is_none_is_refused(condition):
    with pytest.raises(InvalidRequestError, match="--where"):
        attribute_filter([condition])
