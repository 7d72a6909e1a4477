"""Patience with an engine that is away."""

import pytest

from mmrec.errors import StoreError, UnreachableError
from mmrec.programs.patience import when_it_answers


class Engine:
    """Answers after some failures."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)

    def look(self) -> str:
        if self.failures:
            raise self.failures.pop(0)
        return "answer"


def test_an_engine_that_is_away_is_asked_until_it_answers() -> None:
    engine = Engine(UnreachableError("away"), UnreachableError("still away"))
    assert when_it_answers(engine.look, pause_s=0.0) == "answer"


def test_patience_ends() -> None:
    engine = Engine(*[UnreachableError("away")] * 2)
    with pytest.raises(UnreachableError, match="away"):
        when_it_answers(engine.look, patience_s=-1.0, pause_s=0.0)
    assert len(engine.failures) == 1


def test_another_failure_is_raised_at_once() -> None:
    engine = Engine(StoreError("the broker lost records"), UnreachableError("away"))
    with pytest.raises(StoreError, match="lost records"):
        when_it_answers(engine.look, pause_s=0.0)
    assert len(engine.failures) == 1
