"""Counts of the stream: they add up, and their document says the same again."""

import json

from hypothesis import given
from hypothesis import strategies as st

from mmrec.events.rejection import Rejection
from mmrec.features.progress_json import decode_progress, encode_progress
from mmrec.features.record_counts import KINDS, RecordCounts, counts_in
from mmrec.features.values import StreamProgress
from mmrec.scoring.verdicts import Verdict

numbers = st.integers(1, 10**12)
counted = st.builds(
    lambda verdicts, rejected, kinds: RecordCounts(verdicts=verdicts, rejected=rejected, **kinds),
    st.dictionaries(st.sampled_from(Verdict), numbers),
    st.dictionaries(st.sampled_from([reason.value for reason in Rejection]), numbers),
    st.dictionaries(st.sampled_from(KINDS), numbers),
)


@given(counts=counted)
def test_counts_come_back_from_their_document_and_from_the_stored_progress(counts: RecordCounts) -> None:
    assert counts_in(json.loads(json.dumps(counts.document()))) == counts
    assert decode_progress(encode_progress(StreamProgress(counts=counts))).counts == counts


@given(one=counted, two=counted)
def test_a_sum_has_every_name_of_both(one: RecordCounts, two: RecordCounts) -> None:
    both, first, second = (counts.document() for counts in (one + two, one, two))
    assert both == {name: first.get(name, 0) + second.get(name, 0) for name in sorted({*first, *second})}
    assert one + two == two + one
    assert one + RecordCounts() == one


def test_names_are_those_that_people_and_older_progress_know() -> None:
    counts = RecordCounts(verdicts={Verdict.ACCEPTED: 3}, rejected={"bad_time": 1}, served_lists=2)
    counts += RecordCounts(verdicts={Verdict.DUPLICATE: 0})
    assert counts.document() == {"accepted": 3, "rejected.bad_time": 1, "served_lists": 2}
    assert counts_in({"accepted": 3, "of_another_version": 1}) == RecordCounts(verdicts={Verdict.ACCEPTED: 3})
    assert {"identified", "forgotten_users", "not_configured", "pruned", "skipped_batches"} <= set(KINDS)


def test_every_event_that_came_to_a_verdict_or_was_refused_is_handled_once() -> None:
    verdicts = {
        Verdict.ACCEPTED: 5,
        Verdict.DUPLICATE: 2,
        Verdict.CAPPED: 10,
        Verdict.BOT: 20,
        Verdict.FORGOTTEN: 40,
        Verdict.ALREADY_APPLIED: 9,
    }
    counts = RecordCounts(verdicts=verdicts, rejected={"bad_time": 1, "bad_id": 3}, pruned=1_000, identified=1_000)
    assert counts.num_rejected == 4
    assert counts.num_handled == 81
    assert set(verdicts) == set(Verdict)
