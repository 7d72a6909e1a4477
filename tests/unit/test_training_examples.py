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
from mmrec.training.retrieval_labels import num_known_events

BEHAVIORS = shop_behaviors()
HALF_DAY = 43_200.0
START = 1_700_000_000.0
MAX_RECENT = 6
SETTINGS = Settings(scoring=ScoringConfig(behaviors=BEHAVIORS, decay_per_day=(0.05, 0.3), max_recent=MAX_RECENT))
CONFIG = ExampleConfig(towers_fraction=0.4, ranker_fraction=0.3, num_candidates=8, num_random=3)

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
    config = dataclasses.replace(CONFIG, num_random=0)
    lists = [lists_by_label(built(log, config).ranking) for log in (rows, changed)]
    # A label that was known after the cut is itself another one now, and so are its list's candidates.
    shared = [key for key in lists[0] if key in lists[1] and key[1] <= cut_s]
    assert len(shared) > 20
    for key in shared:
        (facts, numbers), (other_facts, other_numbers) = lists[0][key], lists[1][key]
        assert facts == other_facts
        # A user's other lists cut the replay into other pieces, which moves the last bit of a sum.
        np.testing.assert_allclose(numbers, other_numbers, rtol=1e-12)


def lists_by_label(ranking: RankingExamples) -> dict[tuple[str, float, str], tuple[list[object], np.ndarray]]:
    """(facts, numbers) of each list, by user, instant and labels."""
    content = content_columns([None] * len(ranking.item_ids), vocabulary=Vocabulary())
    found = {}
    for number in range(len(ranking)):
        inputs = ranking.inputs(number, content)
        profile, items = inputs.profile, inputs.items
        item_ids = [ranking.item_ids[row] for row in inputs.rows_N]
        labels = [(i, int(b)) for i, b in zip(item_ids, inputs.labels_N, strict=True) if b != NOT_A_LABEL]
        by_id = np.argsort(profile.item_ids)
        facts = [
            item_ids,
            sorted(profile.item_ids),
            profile.recent_item_ids,
            profile.recent_known_times_L.tolist(),
            profile.num_events,
        ]
        numbers = [
            profile.counts_IHB[by_id],
            profile.reference_times_I[by_id],
            items.counts_NHB,
            np.nan_to_num(items.reference_times_N, neginf=0.0),
            inputs.neighbor_score_N,
        ]
        found[ranking.user_keys[number], inputs.as_of_s, str(labels)] = (
            facts,
            np.concatenate([array.ravel() for array in numbers]),
        )
    return found


def test_an_event_known_at_the_very_instant_of_the_label_is_not_in_it() -> None:
    rows = [(0, 1, 0, 0, 0), (0, 2, 0, 4, 0), (0, 3, 0, 4, 0), (0, 4, 0, 3, 1)]
    columns = event_columns(table_of(rows), behaviors=BEHAVIORS)
    label = np.flatnonzero(columns.items_E == columns.item_ids.index("i2"))
    assert num_known_events(columns, label).tolist() == [1]
    assert profiles_before(columns, label, scoring=SETTINGS.scoring)[0].item_ids == ("i1",)


def test_each_label_stands_exactly_once_among_its_candidates() -> None:
    ranking = built(random_rows()).ranking
    assert len(ranking) > 100
    for number in range(len(ranking)):
        begin, end = ranking.candidate_offsets[number : number + 2]
        rows, labels = ranking.candidate_rows_M[begin:end], ranking.candidate_labels_M[begin:end]
        assert (np.diff(rows) > 0).all()
        assert (labels != NOT_A_LABEL).any()
        assert labels.max() < len(BEHAVIORS)


def test_labels_are_what_the_user_did_at_that_instant_and_the_weightiest_of_it() -> None:
    rows = random_rows()
    ranking = built(rows).ranking
    did: dict[tuple[str, float], dict[str, int]] = {}
    for user, item, behavior, event, _ in rows:
        items = did.setdefault((f"u{user}", START + event * HALF_DAY), {})
        items[f"i{item}"] = max(behavior, items.get(f"i{item}", -1))
    for number in range(len(ranking)):
        begin, end = ranking.candidate_offsets[number : number + 2]
        labels = ranking.candidate_labels_M[begin:end]
        for row in np.flatnonzero(labels != NOT_A_LABEL).tolist():
            item_id = ranking.item_ids[ranking.candidate_rows_M[begin + row]]
            items = did[ranking.user_keys[number], float(ranking.label_times_N[number])]
            # A label that was known too late for its part is no label, so the recorded one may be the lesser.
            assert labels[row] <= items[item_id]


def test_an_item_that_serving_would_hide_is_neither_label_nor_candidate() -> None:
    rows = random_rows()
    result = built(rows)
    assert result.report["ranking_labels_dropped"]["hidden"] > 0
    purchase = BEHAVIORS.index("purchase")
    for number in range(len(result.ranking)):
        profile = result.ranking.profile(number)
        bought = {i for i, counts in zip(profile.item_ids, profile.counts_IHB[:, 0, purchase], strict=True) if counts}
        begin, end = result.ranking.candidate_offsets[number : number + 2]
        candidates = {result.ranking.item_ids[row] for row in result.ranking.candidate_rows_M[begin:end]}
        assert not bought & candidates


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
    for number in range(len(ranking)):
        begin, end = ranking.candidate_offsets[number : number + 2]
        rows = ranking.candidate_rows_M[begin:end]
        assert ranking.allowed(number, content)[rows].all()
        seen_late += int((content.publish_times_X[rows] == late_s).sum())
    assert seen_late > 0


def test_more_candidates_join_once_and_only_where_they_could_have_been_shown() -> None:
    entries = {f"i{n}": CatalogEntry(item_id=f"i{n}", publish_time_s=START) for n in range(45)}
    ranking = built(random_rows(), entries=entries).ranking
    content = content_columns([entries.get(i) for i in ranking.item_ids], vocabulary=Vocabulary())
    for number in range(0, len(ranking), 11):
        plain = ranking.inputs(number, content)
        more = ranking.inputs(number, content, more_rows=np.arange(len(ranking.item_ids)))
        assert set(more.rows_N.tolist()) == {
            *np.flatnonzero(ranking.allowed(number, content)).tolist(),
            *plain.rows_N.tolist(),
        }
        assert (np.diff(more.rows_N) > 0).all()
        same = np.isin(more.rows_N, plain.rows_N)
        assert more.labels_N[same].tolist() == plain.labels_N.tolist()
        assert (more.labels_N[~same] == NOT_A_LABEL).all()
        assert more.neighbor_score_N[same].tolist() == plain.neighbor_score_N.tolist()


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
    with pytest.raises(ConfigurationError, match="num_random"):
        ExampleConfig(num_random=-1)


def assert_same(one, other) -> None:
    for field in dataclasses.fields(one):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if dataclasses.is_dataclass(a):
            assert_same(a, b)
        elif isinstance(a, dict):
            assert a.keys() == b.keys()
            for key in a:
                assert_same(a[key], b[key])
        elif isinstance(a, np.ndarray):
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a, b, err_msg=field.name)
        else:
            assert a == b
