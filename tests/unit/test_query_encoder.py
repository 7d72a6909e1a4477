"""The process that encodes queries is never less nice than its parent, and nobody waits for one that broke."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from mmrec.content.query_encoder import QueryEncoder
from mmrec.content.query_worker import give_way
from mmrec.errors import StoreError
from tests.unit.test_release import wait_for


def test_a_thread_gives_way_from_wherever_it_is_and_never_beyond_the_nicest() -> None:
    def steps() -> list[int]:
        found = [os.getpriority(os.PRIO_PROCESS, threading.get_native_id())]
        for niceness in (5, 5, 19):
            give_way(niceness)
            found.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        return found

    with ThreadPoolExecutor(1) as thread:  # its own thread: niceness is each thread's
        own, *nicer = thread.submit(steps).result()
    assert nicer == [min(own + 5, 19), min(own + 10, 19), 19]


def test_where_taking_an_answer_fails_the_process_is_ended_and_nobody_waits_for_it() -> None:
    def told(modality: str, seconds: float | None) -> None:
        raise RuntimeError("no metrics")

    encoder = QueryEncoder({"text": "hashing-tf"}, picture_timeout_s=10.0, told=told)
    encoder.start()
    try:
        assert encoder.wait_ready(120.0)
        assert encoder.ask("text", b"red dress").result(60.0).modality == "text"
        wait_for(lambda: encoder.ready == ())
        with pytest.raises(StoreError, match=r"being loaded|query encoder ended"):
            encoder.ask("text", b"blue dress").result(60.0)
    finally:
        encoder.close()
