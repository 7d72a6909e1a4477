"""Lists asked for at an even pace, as a storefront asks: through the edge, with a token, again where nobody answers.

with ListLoad(stack.open_lists_channel, metadata=stack.token, per_s=50) as lists:
    lists.newest_answered_s; lists.answers
"""

import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType

import grpc

from mmrec.v1 import recommender_pb2, recommender_pb2_grpc

TICK_S = 0.02
TIMEOUT_S = 10.0
TRIES = 3
"""As many as gRPC's usual retry policy makes, of calls that nobody answered."""
PAUSE_S = 0.1
NUM_ITEMS, NUM_USERS = 20, 5_000
AGAIN = (grpc.StatusCode.UNAVAILABLE,)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What became of one request for a list."""

    asked_s: float
    seconds: float
    """Until the answer, tries included."""
    tries: int
    code: str
    num_items: int = 0
    release_id: str = ""
    lacking: tuple[str, ...] = ()
    """Why it was degraded."""

    @property
    def has_failed(self) -> bool:
        return self.code != "OK"


class ListLoad:
    """Threads that ask; use as a context manager."""

    def __init__(
        self,
        open_channel: Callable[[], grpc.Channel],
        *,
        metadata: Sequence[tuple[str, str]],
        per_s: float,
        num_threads: int = 16,
        seed: int = 1,
    ) -> None:
        self._open_channel, self._metadata, self._per_s = open_channel, tuple(metadata), per_s
        self._rng, self._over = random.Random(seed), threading.Event()
        self._pool = ThreadPoolExecutor(num_threads, thread_name_prefix="lists")
        self._pacer = threading.Thread(target=self._pace, daemon=True)
        self.answers: list[Answer] = []
        self.newest_answered_s = 0.0
        """When the newest request that was answered was made."""

    def __enter__(self) -> "ListLoad":
        self._channel = self._open_channel()
        self._stub = recommender_pb2_grpc.RecommenderServiceStub(self._channel)
        self._pacer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._pacer.join(10)
        self._pool.shutdown(cancel_futures=True)
        self._channel.close()

    def ask(self, user_id: str, *, asked_s: float) -> tuple[Answer, recommender_pb2.RecommendItemsResponse | None]:
        """One list, tried as often as a storefront would."""
        request = recommender_pb2.RecommendItemsRequest(user_id=user_id, num_items=NUM_ITEMS)
        for attempt in range(1, TRIES + 1):
            try:
                found = self._stub.RecommendItems(request, metadata=self._metadata, timeout=TIMEOUT_S)
            except grpc.RpcError as error:
                code = error.code()
                if code in AGAIN and attempt < TRIES and not self._over.wait(PAUSE_S * attempt):
                    continue
                return Answer(asked_s=asked_s, seconds=time.time() - asked_s, tries=attempt, code=code.name), None
            break
        answer = Answer(
            asked_s=asked_s,
            seconds=time.time() - asked_s,
            tries=attempt,
            code="OK",
            num_items=len(found.items),
            release_id=found.release_id,
            lacking=tuple(found.state.degraded_reasons),
        )
        return answer, found

    def _pace(self) -> None:
        began_s, made = time.monotonic(), 0
        while not self._over.wait(TICK_S):
            while made < (time.monotonic() - began_s) * self._per_s:
                made += 1
                user = f"u{min(int(self._rng.paretovariate(0.5)), self._rng.randrange(NUM_USERS))}"
                self._pool.submit(self._one, user, time.time())

    def _one(self, user: str, asked_s: float) -> None:
        if self._over.is_set():
            return
        answer, _ = self.ask(user, asked_s=asked_s)
        if self._over.is_set() and answer.has_failed:
            return  # broken off at the end
        self.answers.append(answer)
        if not answer.has_failed:
            self.newest_answered_s = max(self.newest_answered_s, asked_s)
