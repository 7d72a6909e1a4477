"""Training examples against their definition in loops over log rows: nothing known at or after a label stands in it."""

import dataclasses

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmrec.catalog.item import CatalogEntry
from mmrec.config import Settings
from mmrec.errors import ConfigurationError, IncompatibleStateError, NotFoundError
from mmrec.features.item_columns import Vocabulary, content_columns
from mmrec.scoring.behaviors import shop_behaviors
from mmrec.scoring.decay import decay
from mmrec.scoring.item_statistics import decay_rates
from mmrec.scoring.settings import ScoringConfig
from mmrec.training.build import build_examples
from mmrec.training.event_columns import event_columns
from mmrec.training.example_config import ExampleConfig, Part
from mmrec.training.examples import NO_ROW, NOT_A_LABEL, RankingExamples, RetrievalExamples
from mmrec.training.ranking_lists import profiles_before
from mmrec.training.ranking_rows import RankedList, ranked_lists
from mmrec.training.retrieval_labels import num_known_events

BEHAVIORS = shop_behaviors()
HALF_DAY = 43_200.0
START = 1_700_000_000.0
MAX_RECENT = 6
SETTINGS = Settings(scoring=ScoringConfig(behaviors=BEHAVIORS, decay_per_day=(0.05, 0.3), max_recent=MAX_RECENT))
CONFIG = ExampleConfig(towers_fraction=0.4, ranker_fraction=0.3, label_window_s=HALF_DAY, neighbor_builds=2)
NUM_CANDIDATES = 8

Rows = list[tuple[int, int, int, int, int]]
"""(user, item, behavior, half days until the event, half days until it was known after that)."""
rows_of_a_log = st.lists(
    st.tuples(
        st.integers(0, 3), st.integers(0, 7), st.integers(0, 3), st.integers(0, 12), st.sampled_from([0, 0, 0, 1, 2, 9])
    ),
    min_size=1,
    max_size=60,
)


def table_of(rows: Rows) -> pa.Table:
    event_times = np.array([START + row[3] * HALF_DAY for row in rows])
    known_times = event_times + np.array([row[4] for row in rows]) * HALF_DAY
    return pa.table(
        {
            "user_key": pa.array([f"u{row[0]}" for row in rows], pa.string()),
            "item_id": pa.array([f"i{row[1]}" for row in rows], pa.string()),
            "behavior": pa.array([BEHAVIORS.names[row[2]] for row in rows], pa.string()),
            "event_time_s": event_times,
            "known_time_s": known_times,
            "ingest_time_s": known_times,
        }
    )


def random_rows(num_rows: int = 1_500, seed: int = 3) -> Rows:
    rng = np.random.default_rng(seed)
    late = rng.choice([0, 0, 0, 0, 1, 3], num_rows)
    columns = (rng.integers(0, 20, num_rows), rng.integers(0, 40, num_rows), rng.integers(0, 4, num_rows))
    return list(zip(*(c.tolist() for c in (*columns, rng.integers(0, 60, num_rows), late)), strict=True))


def built(rows: Rows, config: ExampleConfig = CONFIG, entries=None):
    return build_examples(table_of(rows), entries or {}, settings=SETTINGS, config=config)


def known_rows(rows: Rows, user_key: str, label_time_s: float) -> list[tuple[float, float, int, str]]:
    """(event time, known time, behavior id, item id) of one user, known strictly before, in order of event time."""
    found = []
    for user, item, behavior, event, late in rows:
        event_s = START + event * HALF_DAY
        known_s = event_s + late * HALF_DAY
        if f"u{user}" == user_key and known_s < label_time_s:
            found.append((event_s, known_s, int(BEHAVIORS.ids_B[behavior]), f"i{item}"))
    return sorted(found)


@given(rows_of_a_log)
@settings(max_examples=60, deadline=None)
def test_a_history_holds_the_newest_events_known_strictly_before_its_label(rows: Rows) -> None:
    examples = built(rows).retrieval
    users = sorted({f"u{row[0]}" for row in rows})
    histories = examples.histories(np.arange(len(examples)), max_length=MAX_RECENT)
    for label in range(len(examples)):
        label_time_s = float(examples.label_times_N[label])
        expected = known_rows(rows, users[examples.user_index_N[label]], label_time_s)[-MAX_RECENT:]
        read_s = max([label_time_s, *(event_s for event_s, *_ in expected)])
        length = len(expected)
        assert (histories.rows_NL[label, length:] == NO_ROW).all()
        found = [examples.item_ids[row] for row in histories.rows_NL[label, :length]]
        assert found == [item_id for *_, item_id in expected]
        assert histories.behavior_ids_NL[label, :length].tolist() == [behavior for _, _, behavior, _ in expected]
        assert histories.ages_s_NL[label, :length].tolist() == [read_s - event_s for event_s, *_ in expected]


@given(rows_of_a_log)
@settings(max_examples=60, deadline=None)
def test_every_event_is_a_retrieval_label_unless_its_part_was_over_when_it_was_known(rows: Rows) -> None:
    result = built(rows)
    dropped = result.report["retrieval_dropped"]
    assert len(result.retrieval) + dropped["known_after_its_part"] == len(rows)
    begins = [result.report["ranker_begins_s"] or np.inf, result.report["validation_begins_s"] or np.inf, np.inf]
    late = sum(
        START + (event + after) * HALF_DAY >= begins[int(np.searchsorted(begins, START + event * HALF_DAY, "right"))]
        for *_, event, after in rows
        if after
    )
    assert dropped["known_after_its_part"] == late
    assert result.retrieval.label_counts_I.sum() == len(result.retrieval.of_part(Part.TOWERS))


@given(rows_of_a_log)
@settings(max_examples=60, deadline=None)
def test_a_replayed_profile_is_the_sum_over_the_log_rows_known_strictly_before(rows: Rows) -> None:
    ranking = built(rows).ranking
    for number in range(len(ranking)):
        profile = ranking.profile(number)
        expected = known_rows(rows, ranking.user_keys[number], float(ranking.label_times_N[number]))
        assert profile.num_events == len(expected)
        assert sorted(profile.item_ids) == sorted({item_id for *_, item_id in expected})
        assert profile.recent_item_ids == tuple(item_id for *_, item_id in expected[-MAX_RECENT:])
        assert profile.recent_known_times_L.tolist() == [known_s for _, known_s, *_ in expected[-MAX_RECENT:]]
        for row, item_id in enumerate(profile.item_ids):
            mine = [(event_s, behavior) for event_s, _, behavior, item in expected if item == item_id]
            reference_s = max(event_s for event_s, _ in mine)
            assert profile.reference_times_I[row] == reference_s
            counts_HB = np.zeros((2, len(BEHAVIORS)))
            for event_s, behavior in mine:
                for h, rate in enumerate(SETTINGS.scoring.decay_per_day):
                    share = decay(reference_s - event_s, decay_per_day=rate)
                    counts_HB[h, BEHAVIORS.ids_B.tolist().index(behavior)] += share
            np.testing.assert_allclose(profile.counts_IHB[row], counts_HB, rtol=1e-12)


@given(rows_of_a_log)
@settings(max_examples=40, deadline=None)
def test_item_statistics_are_the_sum_over_the_log_rows_known_strictly_before(rows: Rows) -> None:
    ranking = built(rows).ranking
    rates_H = decay_rates(SETTINGS.statistics.half_lives_days)
    asked = np.append(np.arange(len(ranking.item_ids)), NO_ROW)
    for time_s in START + np.arange(0, 25, 3) * HALF_DAY:
        counts_NHB, reference_times_N = ranking.item_history.as_of(asked, time_s)
        assert reference_times_N[-1] == -np.inf
        for row, item_id in enumerate(ranking.item_ids):
            mine = [
                (START + event * HALF_DAY, behavior)
                for _, item, behavior, event, late in rows
                if f"i{item}" == item_id and START + (event + late) * HALF_DAY < time_s
            ]
            assert reference_times_N[row] == max([event_s for event_s, _ in mine], default=-np.inf)
            expected_HB = np.zeros((len(rates_H), len(BEHAVIORS)))
            for event_s, behavior in mine:
                expected_HB[:, behavior] += decay(reference_times_N[row] - event_s, decay_per_day=rates_H)
            np.testing.assert_allclose(counts_NHB[row], expected_HB, rtol=1e-12)


@pytest.mark.parametrize("cut", [30, 40, 50])
def test_what_is_known_at_or_after_a_label_cannot_change_its_list(cut: int) -> None:
    """Rows known from the cut on get another user and item; lists of labels up to the cut read the same."""
    rows, cut_s = random_rows(), START + cut * HALF_DAY
    changed = [
        row if row[3] + row[4] < cut else ((row[0] + 7) % 20, (row[1] + 13) % 40, (row[2] + 1) % 4, *row[3:])
        for row in rows
    ]
    assert changed != rows
    lists = [lists_by_label(built(log).ranking) for log in (rows, changed)]
    # A label that was known after the cut is itself another one now.
    shared = [key for key in lists[0] if key in lists[1] and key[1] <= cut_s]
    assert len(shared) > 20
    for key in shared:
        (facts, numbers), (other_facts, other_numbers) = lists[0][key], lists[1][key]
        assert facts == other_facts
        # A user's other lists cut the replay into other pieces, which moves the last bit of a sum.
        np.testing.assert_allclose(numbers, other_numbers, rtol=1e-5, atol=1e-6)


def made(ranking: RankingExamples, numbers: np.ndarray | None = None, entries=None) -> list[RankedList]:
    """Lists as the ranker would read them without towers."""
    content = content_columns([(entries or {}).get(i) for i in ranking.item_ids], vocabulary=Vocabulary())
    return list(
        ranked_lists(
            ranking,
            np.arange(len(ranking)) if numbers is None else numbers,
            content=content,
            towers=None,
            scoring=SETTINGS.scoring,
            num_candidates=NUM_CANDIDATES,
        )
    )


def lists_by_label(ranking: RankingExamples) -> dict[tuple[str, float, str], tuple[list[object], np.ndarray]]:
    """(facts, numbers) of what recall proposed for each list, by user, instant and labels of the instant."""
    found = {}
    for number, one in enumerate(made(ranking)):
        profile, proposed = ranking.profile(number), one.proposed_N
        labels = [ranking.item_ids[row] for row in one.rows_N[one.next_N]]
        facts = [
            [ranking.item_ids[row] for row in one.rows_N[proposed]],
            sorted(profile.item_ids),
            profile.recent_item_ids,
            profile.recent_known_times_L.tolist(),
            profile.num_events,
        ]
        key = ranking.user_keys[number], float(ranking.label_times_N[number]), str(labels)
        found[key] = (facts, one.features_NF[proposed].ravel())
    return found


def test_an_event_known_at_the_very_instant_of_the_label_is_not_in_it() -> None:
    rows = [(0, 1, 0, 0, 0), (0, 2, 0, 4, 0), (0, 3, 0, 4, 0), (0, 4, 0, 3, 1)]
    columns = event_columns(table_of(rows), behaviors=BEHAVIORS)
    label = np.flatnonzero(columns.items_E == columns.item_ids.index("i2"))
    assert num_known_events(columns, label).tolist() == [1]
    assert profiles_before(columns, label, scoring=SETTINGS.scoring)[0].item_ids == ("i1",)


def label_sets(ranking: RankingExamples, number: int) -> dict[str, tuple[int, bool]]:
    """Labels of a list: item id -> (position of the behavior, whether something followed at the very instant)."""
    at = ranking.labels(number)
    rows, behaviors, nexts = ranking.label_rows_M[at], ranking.label_behaviors_M[at], ranking.label_next_M[at]
    return {
        ranking.item_ids[row]: (behavior, soon)
        for row, behavior, soon in zip(rows.tolist(), behaviors.tolist(), nexts.tolist(), strict=True)
    }


def test_each_label_stands_exactly_once_among_its_candidates() -> None:
    ranking = built(random_rows()).ranking
    assert len(ranking) > 100
    for number, one in enumerate(made(ranking)):
        assert (np.diff(one.rows_N) > 0).all()
        assert one.next_N.any()
        labels = {ranking.item_ids[row] for row in one.rows_N[one.labels_N != NOT_A_LABEL]}
        assert labels == set(label_sets(ranking, number))
        assert one.labels_N.max() < len(BEHAVIORS)
        assert (one.proposed_N | (one.labels_N != NOT_A_LABEL)).all()


@pytest.mark.parametrize("window_s", [0.0, HALF_DAY, 3 * HALF_DAY])
def test_labels_are_what_the_user_did_within_the_window_and_the_weightiest_of_it(window_s: float) -> None:
    rows = random_rows()
    result = built(rows, dataclasses.replace(CONFIG, label_window_s=window_s))
    ranking, ends_s = result.ranking, {Part.RANKER: result.report["validation_begins_s"], Part.VALIDATION: np.inf}
    later = 0
    for number in range(len(ranking)):
        part, user, time_s = Part(ranking.parts_N[number]), ranking.user_keys[number], ranking.label_times_N[number]
        reach_s = time_s + window_s
        did: dict[str, tuple[int, bool]] = {}
        mine = [row for row in rows if f"u{row[0]}" == user]
        for _, item, behavior, event, late in mine:
            event_s, known_s = START + event * HALF_DAY, START + (event + late) * HALF_DAY
            bought_s = [
                START + (at + after) * HALF_DAY for _, other, what, at, after in mine if other == item and what == 3
            ]
            if not time_s <= event_s <= reach_s or known_s >= ends_s[part] or min(bought_s, default=np.inf) < event_s:
                continue
            if event_s >= ends_s[part]:
                continue
            before, soon = did.get(f"i{item}", (-1, False))
            did[f"i{item}"] = (max(behavior, before), soon or event_s == time_s)
        assert label_sets(ranking, number) == did
        later += sum(not soon for _, soon in did.values())
    assert (later > 0) == (window_s > 0)


def planted(*mine: tuple[int, int, float]) -> pa.Table:
    """A log of 100 browses a day apart; then events of user "u" on day 100 and after: (item, behavior, hours)."""
    others = [(f"v{n % 7}", f"i{n % 5}", "browse", START + n * 2 * HALF_DAY) for n in range(100)]
    own = [("u", f"i{item}", BEHAVIORS.names[what], START + (2_400 + hours) * 3_600.0) for item, what, hours in mine]
    after = [(f"v{n % 7}", f"i{n % 5}", "browse", START + (3_000 + n) * 3_600.0) for n in range(40)]
    users, items, behaviors, times = zip(*others, *own, *after, strict=True)
    columns = {"user_key": users, "item_id": items, "behavior": behaviors}
    return pa.table(columns | dict.fromkeys(("event_time_s", "known_time_s", "ingest_time_s"), times))


def test_a_purchase_that_follows_a_labelled_cart_is_credited_and_what_is_bought_within_the_day_is_no_negative() -> None:
    cart, purchase = BEHAVIORS.index("cart"), BEHAVIORS.index("purchase")
    log = planted((1, 0, -1), (2, cart, 0), (2, purchase, 2), (3, purchase, 20), (4, purchase, 30))
    config = dataclasses.replace(CONFIG, towers_fraction=0.6, ranker_fraction=0.15, label_window_s=86_400.0)
    ranking = build_examples(log, {}, settings=SETTINGS, config=config).ranking
    number = next(n for n in range(len(ranking)) if ranking.label_times_N[n] == START + 2_400 * 3_600.0)
    assert ranking.parts_N[number] == Part.RANKER
    assert label_sets(ranking, number) == {"i2": (purchase, True), "i3": (purchase, False)}
    alone = build_examples(log, {}, settings=SETTINGS, config=dataclasses.replace(config, label_window_s=0.0)).ranking
    assert label_sets(alone, number) == {"i2": (cart, True)}
    # The window says what followed, not what was known: the state of the list is the same.
    assert alone.profile_bytes.tobytes() == ranking.profile_bytes.tobytes()


def test_no_label_of_the_ranker_reaches_into_validation() -> None:
    rows = random_rows()
    for window_s in (HALF_DAY, 1e9):
        result = built(rows, dataclasses.replace(CONFIG, label_window_s=window_s))
        ends_s = result.report["validation_begins_s"]
        changed = [row if START + row[3] * HALF_DAY < ends_s else (row[0], (row[1] + 9) % 40, *row[2:]) for row in rows]
        again = built(changed, dataclasses.replace(CONFIG, label_window_s=window_s)).ranking
        for number in result.ranking.of_part(Part.RANKER).tolist():
            assert label_sets(result.ranking, number) == label_sets(again, number)


def test_lists_read_the_newest_neighbors_built_before_them() -> None:
    result = built(random_rows(), dataclasses.replace(CONFIG, neighbor_builds=5))
    ranking = result.ranking
    assert len(ranking.neighbors) == len(ranking.neighbor_times_T) == result.report["neighbor_builds"] == 10
    assert (np.diff(ranking.neighbor_times_T) > 0).all()
    assert ranking.neighbor_times_T[0] == result.report["ranker_begins_s"]
    used = {id(ranking.neighbors_at(time_s)) for time_s in ranking.label_times_N.tolist()}
    assert len(used) == 10
    assert ranking.neighbors_at(ranking.neighbor_times_T[3]) is ranking.neighbors[3]
    assert ranking.neighbors_at(ranking.neighbor_times_T[3] - 1.0) is ranking.neighbors[2]
    assert ranking.neighbors_at(START - 1.0) is None


def test_an_item_that_serving_would_hide_is_neither_label_nor_candidate() -> None:
    rows = random_rows()
    result = built(rows)
    assert result.report["ranking_labels_dropped"]["hidden"] > 0
    purchase = BEHAVIORS.index("purchase")
    for number, one in enumerate(made(result.ranking)):
        profile = result.ranking.profile(number)
        bought = {i for i, counts in zip(profile.item_ids, profile.counts_IHB[:, 0, purchase], strict=True) if counts}
        assert not bought & {result.ranking.item_ids[row] for row in one.rows_N}


def test_hidden_retrieval_labels_are_those_bought_before() -> None:
    rows = random_rows()
    examples = built(rows).retrieval
    users = sorted({f"u{row[0]}" for row in rows})
    purchase = int(BEHAVIORS.ids_B[BEHAVIORS.index("purchase")])
    for label in range(0, len(examples), 7):
        known = known_rows(rows, users[examples.user_index_N[label]], float(examples.label_times_N[label]))
        item_id = examples.item_ids[examples.label_rows_N[label]]
        assert examples.hidden_N[label] == any(i == item_id and b == purchase for _, _, b, i in known)


def test_an_item_is_no_candidate_before_it_is_published() -> None:
    late_s = START + 45 * HALF_DAY
    entries = {f"i{n}": CatalogEntry(item_id=f"i{n}", publish_time_s=late_s if n % 2 else START) for n in range(45)}
    result = built(random_rows(), entries=entries)
    ranking = result.ranking
    assert result.report["ranking_labels_dropped"]["not_showable"] > 0
    content = content_columns([entries.get(i) for i in ranking.item_ids], vocabulary=Vocabulary())
    seen_late = 0
    for number, one in enumerate(made(ranking, entries=entries)):
        assert (content.publish_times_X[one.rows_N] < ranking.label_times_N[number]).all()
        seen_late += int((content.publish_times_X[one.rows_N] == late_s).sum())
    assert seen_late > 0


def test_the_same_seed_gives_the_same_examples_whatever_the_order_of_the_log() -> None:
    rows = random_rows()
    config = dataclasses.replace(
        CONFIG, max_retrieval_labels=200, max_ranker_lists=30, max_validation_lists=20, max_lists_per_user=3
    )
    first, again = built(rows, config), built(rows[::-1], config)
    other = built(rows, dataclasses.replace(config, seed=2))
    assert first.report == again.report
    assert (first.report["ranking_lists"]["ranker"], first.report["ranking_lists"]["validation"]) == (30, 20)
    assert_same(first.retrieval, again.retrieval)
    assert_same(first.ranking, again.ranking)
    assert first.ranking.user_keys != other.ranking.user_keys


def test_where_lists_are_scarce_nobody_gets_a_second_one_before_all_have_a_first() -> None:
    rows = [row for row in random_rows() if row[0] != 1 or row[3] % 8 == 0] + [(0, n % 40, 0, 59, 0) for n in range(50)]
    everything = built(rows).ranking
    users = {everything.user_keys[n] for n in everything.of_part(Part.VALIDATION)}
    few = built(rows, dataclasses.replace(CONFIG, max_validation_lists=len(users))).ranking
    drawn = [few.user_keys[n] for n in few.of_part(Part.VALIDATION)]
    assert sorted(drawn) == sorted(users)


def test_examples_read_back_as_they_were_written(tmp_path) -> None:
    result = built(random_rows())
    result.save(tmp_path)
    assert_same(result.retrieval, RetrievalExamples.load(tmp_path / "retrieval"))
    assert_same(result.ranking, RankingExamples.load(tmp_path / "ranking"))


def test_a_folder_without_examples_or_of_another_kind_is_refused(tmp_path) -> None:
    with pytest.raises(NotFoundError, match="build_examples"):
        RetrievalExamples.load(tmp_path)
    built(random_rows(200)).save(tmp_path)
    with pytest.raises(IncompatibleStateError, match="ranking_examples"):
        RetrievalExamples.load(tmp_path / "ranking")


def test_an_empty_log_gives_no_examples(tmp_path) -> None:
    result = build_examples(table_of([]), {}, settings=SETTINGS, config=CONFIG)
    assert (len(result.retrieval), len(result.ranking)) == (0, 0)
    result.save(tmp_path)
    assert len(RankingExamples.load(tmp_path / "ranking")) == 0


def test_events_of_behaviors_that_are_not_configured_are_left_out_and_counted() -> None:
    table = table_of(random_rows(100))
    names = table["behavior"].to_pylist()
    strange = table.set_column(2, "behavior", pa.array(["stare", *names[1:]]))
    report = build_examples(strange, {}, settings=SETTINGS, config=CONFIG).report
    assert (report["num_events"], report["num_unknown_behavior"]) == (99, 1)


def test_a_configuration_that_shares_out_more_than_the_log_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="towers_fraction"):
        ExampleConfig(towers_fraction=0.9, ranker_fraction=0.2)
    for setting, value in (("label_window_s", -1.0), ("neighbor_builds", 0), ("label_window_s", float("inf"))):
        with pytest.raises(ConfigurationError, match=f"{setting} is {value}"):
            ExampleConfig(**{setting: value})


def assert_same(one, other) -> None:
    for field in dataclasses.fields(one):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if dataclasses.is_dataclass(a):
            assert_same(a, b)
        elif field.name == "neighbors":
            assert len(a) == len(b)
            for mine, theirs in zip(a, b, strict=True):
                assert_same(mine, theirs)
        elif isinstance(a, np.ndarray):
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a, b, err_msg=field.name)
        else:
            assert a == b
