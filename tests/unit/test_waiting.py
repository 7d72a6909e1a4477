"""What waits in the bulk lane, and where it begins."""

from hypothesis import given
from hypothesis import strategies as st

from mmrec.content.waiting import Waiting
from mmrec.events.producer import TopicRecord


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from([0, 1]), st.booleans()), max_size=30))
def test_the_first_offset_that_waits_is_known_whatever_was_added_and_dropped(changes: list) -> None:
    waiting, plain = Waiting(), {}
    for offset, (key, partition, is_added) in enumerate(changes):
        if is_added:
            waiting.add(TopicRecord(key.encode(), b"", partition, offset, 0.0))
            plain[key] = (partition, offset)
        else:
            waiting.drop(key.encode())
            plain.pop(key, None)
        starts: dict[int, int] = {}
        for place, first in plain.values():
            starts[place] = min(first, starts.get(place, first))
        assert waiting.start == starts
        assert {(k.decode(), (p, o)) for k, p, o in waiting.places()} == set(plain.items())
