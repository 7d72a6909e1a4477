"""A training ends when nothing was gained for as many epochs as it has patience for."""

from hypothesis import given
from hypothesis import strategies as st

from mmrec.training.stalling import has_stalled


@given(scores=st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), max_size=12), patience=st.integers(1, 5))
def test_it_stalls_when_the_first_best_epoch_lies_as_far_back_as_patience(scores: list[float], patience: int) -> None:
    best_epoch = scores.index(max(scores)) + 1 if scores else 0
    assert has_stalled(scores, patience) == (len(scores) - best_epoch >= patience)
