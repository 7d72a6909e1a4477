"""Long work: one of a kind at a time, its progress told, its errors raised where its messages are read."""

import threading

import pytest

from mmrec.errors import InvalidRequestError, PreconditionError, StoreError
from mmrec.operating.long_work import LongWork, wait_of
from mmrec.v1.admin_pb2 import RebuildResponse, RebuildResult, WorkProgress


def progress(done: WorkProgress) -> RebuildResponse:
    return RebuildResponse(progress=done)


def test_progress_is_told_until_the_result_comes() -> None:
    go_on = threading.Event()

    def work(told):
        told("rows", 7)
        go_on.wait(60)
        return [RebuildResponse(result=RebuildResult(num_rows=7))]

    messages = LongWork().run("rebuild", work, progress=progress, pause_s=0.01)
    first = next(messages)
    assert (first.progress.unit, first.progress.num_done) == ("rows", 7)
    go_on.set()
    last = list(messages)[-1]
    assert last.result.num_rows == 7


def test_a_second_one_of_a_kind_is_refused_and_another_kind_is_not() -> None:
    go_on, works = threading.Event(), LongWork()

    def waits(told):
        told("rows", 1)
        go_on.wait(60)
        return []

    first = works.run("rebuild", waits, progress=progress, pause_s=0.01)
    next(first)
    with pytest.raises(PreconditionError, match="rebuild is under way since"):
        next(works.run("rebuild", waits, progress=progress))
    assert list(works.run("audit", lambda told: ["done"], progress=None)) == ["done"]
    go_on.set()
    list(first)
    assert list(works.run("rebuild", lambda told: ["again"], progress=None)) == ["again"]


def test_work_goes_on_where_its_reader_goes_away() -> None:
    go_on, ended = threading.Event(), threading.Event()

    def work(told):
        told("rows", 1)
        go_on.wait(60)
        ended.set()
        return []

    messages = LongWork().run("rebuild", work, progress=progress, pause_s=0.01)
    next(messages)
    messages.close()
    go_on.set()
    assert ended.wait(60)


def test_an_error_of_the_work_is_the_readers() -> None:
    def work(told):
        raise StoreError("the log is damaged")

    works = LongWork()
    with pytest.raises(StoreError, match="the log is damaged"):
        list(works.run("rebuild", work, progress=progress))
    assert list(works.run("rebuild", lambda told: [1], progress=None)) == [1]


@pytest.mark.parametrize("told_progress", [progress, None])
def test_work_that_tells_nothing_holds_no_reader(told_progress) -> None:
    go_on = threading.Event()

    def work(told):
        go_on.wait(60)
        return ["done"]

    messages = LongWork().run("rebuild", work, progress=told_progress, pause_s=0.01)
    assert [next(messages), next(messages)] == [None, None]
    go_on.set()
    assert [message for message in messages if message is not None] == ["done"]


@pytest.mark.parametrize("wait_s", [-1.0, 3_600.5, float("nan"), float("inf")])
def test_a_wait_is_bounded(wait_s: float) -> None:
    with pytest.raises(InvalidRequestError, match=f"wait_s is {wait_s}; give seconds up to 3600, or 0 for 60"):
        wait_of(wait_s, usual_s=60.0)
    assert [wait_of(given_s, usual_s=60.0) for given_s in (0.0, 3_600.0)] == [60.0, 3_600.0]
