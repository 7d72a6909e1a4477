"""Vectors of queries, from a process of their own (mmrec.content.query_worker), kept by the digest of what was asked.

    encoder = QueryEncoder({"text": "minilm", "image": "efficientnet-lite0"}, picture_timeout_s=10)
    encoder.start()                                    returns at once; the models load in the background
    waiting = encoder.ask("text", b"red summer dress")
    vector = waiting.result(timeout_s)                 an EncodedQuery

A process that ended is started again, at most once in RESTART_S. Any number of threads may call.
"""

import json
import os
import subprocess
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from mmrec.content.payloads import digest
from mmrec.content.query_worker import Asked, Told, read_body, write_message
from mmrec.errors import InvalidRequestError, StoreError
from mmrec.programs.one_thread import ONE_THREAD
from mmrec.telemetry.logs import get_logger

log = get_logger(__name__)
RESTART_S: Final = 10.0
MAX_WAITING: Final = 64
"""Queries of one process that wait; more are refused at once, as they would wait for longer than anybody does."""


@dataclass(frozen=True, kw_only=True, eq=False)
class EncodedQuery:
    """A vector, and which encoder made it."""

    modality: str
    encoder: str
    fingerprint: str
    values_D: npt.NDArray[np.float32]


class EncodesQueries(Protocol):
    """What search asks for vectors."""

    def ask(self, modality: str, payload: bytes) -> "Future[EncodedQuery]":
        """The vector of a payload (see mmrec.content.payloads), to come.

        The future's result raises InvalidRequestError where the payload is broken, and StoreError where no encoder
        answers: it is loading, or its process has ended.
        """
        ...


class NoQueryEncoder:
    """Where queries are not encoded: every answer is a StoreError."""

    def ask(self, modality: str, payload: bytes) -> "Future[EncodedQuery]":
        """See EncodesQueries."""
        answer: Future[EncodedQuery] = Future()
        error = StoreError(f"{modality} queries of {len(payload)} bytes are not encoded here (search.encodes_queries)")
        answer.set_exception(error)
        return answer


class QueryEncoder:
    """See EncodesQueries."""

    def __init__(
        self,
        encoders: Mapping[str, str],
        *,
        picture_timeout_s: float,
        num_kept: int = 4_096,
        told: Callable[[str, float | None], None] = lambda modality, seconds: None,
    ) -> None:
        """Start nothing yet.

        Args:
            encoders: Modality -> name of its encoder.
            picture_timeout_s: Processor time that decoding one picture may take.
            num_kept: Vectors that are kept; the one asked for longest ago goes first.
            told: Called for each answer with the modality and the seconds that encoding took, None where it was kept.
        """
        self._encoders = dict(encoders)
        self._picture_timeout_s, self._num_kept, self._told = picture_timeout_s, num_kept, told
        self._kept: OrderedDict[tuple[str, bytes], EncodedQuery] = OrderedDict()
        self._waiting: dict[int, Future[EncodedQuery]] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._ready: dict[str, Told] = {}
        self._started_s = -RESTART_S
        self._last_number = 0
        self._lock = threading.Lock()
        self._is_closed = False
        self._reading: threading.Thread | None = None
        self.num_encoded = self.num_kept_answers = self.num_starts = 0

    def start(self) -> None:
        """Start the process; returns before the models are loaded."""
        with self._lock:
            self._start()

    def _start(self) -> None:
        now_s = time.monotonic()
        if not self._encoders or self._is_closed or self._process is not None or now_s - self._started_s < RESTART_S:
            return
        command = [sys.executable, "-m", "mmrec.content.query_worker"]
        command += [json.dumps(self._encoders), str(self._picture_timeout_s)]
        environment = {**os.environ, **ONE_THREAD}
        self._started_s, self.num_starts = now_s, self.num_starts + 1
        # In this process's own session: among sessions, niceness does not count (services.stack.niceness).
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
        self._reading = threading.Thread(target=self._read, args=(self._process,), name="query-encoder", daemon=True)
        self._reading.start()

    def wait_ready(self, timeout_s: float) -> bool:
        """Whether every encoder was loaded in time."""
        give_up_s = time.monotonic() + timeout_s
        while time.monotonic() < give_up_s:
            if self.ready == tuple(sorted(self._encoders)):
                return True
            time.sleep(0.02)
        return False

    @property
    def ready(self) -> tuple[str, ...]:
        """Modalities whose encoder is loaded."""
        return tuple(sorted(modality for modality, told in self._ready.items() if not told.problem))

    def ask(self, modality: str, payload: bytes) -> "Future[EncodedQuery]":
        """See EncodesQueries."""
        answer: Future[EncodedQuery] = Future()
        key = modality, digest(payload)
        with self._lock:
            kept = self._kept.get(key)
            if kept is not None:
                self._kept.move_to_end(key)
                self.num_kept_answers += 1
                self._told(modality, None)
                answer.set_result(kept)
                return answer
            if problem := self._problem(modality):
                answer.set_exception(StoreError(problem))
                return answer
            self._last_number += 1
            self._waiting[self._last_number] = answer
            asked = Asked(number=self._last_number, modality=modality, payload=payload)
            answer.add_done_callback(lambda done: self._keep(key, done))
            process = self._process
            assert process is not None and process.stdin is not None
            try:
                write_message(process.stdin, asked)
            except OSError:
                log.warning("query_worker_gone")  # the thread that reads from it tells all who wait
        return answer

    def _problem(self, modality: str) -> str:
        self._start()
        ready = self._ready.get(modality)
        if modality not in self._encoders:
            return f"queries of modality {modality!r} have no encoder"
        if self._process is None or ready is None:
            return f"the {modality} encoder of queries is being loaded; try again in some seconds"
        if ready.problem:
            return f"the {modality} encoder {self._encoders[modality]!r} cannot be loaded: {ready.problem}"
        if len(self._waiting) >= MAX_WAITING:
            return f"{MAX_WAITING} queries are waiting for their vectors; try again later"
        return ""

    def _keep(self, key: tuple[str, bytes], done: "Future[EncodedQuery]") -> None:
        if done.exception() is None:
            with self._lock:
                self._kept[key] = done.result()
                while len(self._kept) > self._num_kept:
                    self._kept.popitem(last=False)

    def _read(self, process: "subprocess.Popen[bytes]") -> None:
        try:
            self._take_answers(process)
        except Exception as error:  # what is no answer, or a listener that failed; nobody may wait for ever
            log.error("query_worker_not_understood", error=repr(error))
            process.kill()
        self._bury(process)

    def _take_answers(self, process: "subprocess.Popen[bytes]") -> None:
        assert process.stdout is not None
        while (body := read_body(process.stdout)) is not None:
            told = msgspec.msgpack.decode(body, type=Told)
            if not told.number:
                self._ready[told.modality] = told
                log.info("query_encoder_ready", modality=told.modality, encoder=told.encoder, problem=told.problem)
                continue
            encoded = EncodedQuery(
                modality=told.modality,
                encoder=told.encoder,
                fingerprint=told.fingerprint,
                values_D=np.frombuffer(told.values, dtype="<f4").astype(np.float32),
            )
            with self._lock:
                answer = self._waiting.pop(told.number)
            if told.problem:
                answer.set_exception(InvalidRequestError(told.problem))
                continue
            self.num_encoded += 1
            answer.set_result(encoded)
            self._told(told.modality, told.seconds)

    def _bury(self, process: "subprocess.Popen[bytes]") -> None:
        code = process.wait()
        if process.stdout is not None:
            process.stdout.close()
        with self._lock:
            self._process, self._ready = None, {}
            waiting, self._waiting = self._waiting, {}
        if not self._is_closed:
            log.error("query_worker_ended", code=code, num_waiting=len(waiting))
        for answer in waiting.values():
            answer.set_exception(StoreError(f"the query encoder ended (exit status {code}); try again"))

    def close(self) -> None:
        """End the process."""
        with self._lock:
            self._is_closed, process = True, self._process
        if process is not None and process.stdin is not None:
            with suppress(OSError):  # it has ended, and what it was to be asked is left
                process.stdin.close()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
        if self._reading is not None:
            self._reading.join(5)

    def figures(self) -> dict[str, Any]:
        """For the status file."""
        return {
            "query_encoders_ready": list(self.ready),
            "num_queries_encoded": self.num_encoded,
            "num_queries_kept": self.num_kept_answers,
            "num_query_encoder_starts": self.num_starts,
        }
