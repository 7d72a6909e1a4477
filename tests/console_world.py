"""A running console for tests: its services on a real broker, around a storefront with known users and awkward titles.

The recommender is a replica of mmrec.serving behind gRPC in this process; Ray around it would add nothing to a page.
Fixture: `console` (module).
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest

from feature_repo.apply import apply_repository
from mmrec.clock import SystemClock
from mmrec.config import Settings
from mmrec.connections.statuses import code_of, details_of
from mmrec.serving.recommend import Deadline
from mmrec.serving.replica import Replica, ReplicaParts
from mmrec.v1 import recommender_pb2_grpc
from mmrec.wiring import open_overlay
from services.stack.ports import HOST, any_free, wait_open
from tests.query_encoder import HereQueryEncoder
from tests.serving_world import ServingWorld, serving_world
from tests.unit.test_release import Deployment, untrained

AWKWARD = (
    "<script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">",
    "\u202eesrever\u202c and \u2067more\u2069 \u0000\u0007",
    "=HYPERLINK(1) " + "x" * 3_000,
    "Z" + "\u0301" * 200 + "algo",
)
"""Titles that a shop would rather not have."""


class _Servicer(recommender_pb2_grpc.RecommenderServiceServicer):
    def __init__(self, replica: Replica) -> None:
        self._replica = replica

    def RecommendItems(self, request: Any, context: Any) -> Any:
        return self._answer(partial(self._replica.recommend, request, deadline=_deadline()), context)

    def SimilarItems(self, request: Any, context: Any) -> Any:
        return self._answer(partial(self._replica.similar, request), context)

    def SearchItems(self, request: Any, context: Any) -> Any:
        return self._answer(partial(self._replica.search, request, deadline=_deadline()), context)

    def ExplainItem(self, request: Any, context: Any) -> Any:
        return self._answer(partial(self._replica.explain_item, request, deadline=_deadline()), context)

    def _answer(self, work: Any, context: Any) -> Any:
        try:
            return work()
        except Exception as error:
            context.abort(code_of(error), details_of(error))


def _deadline() -> Deadline:
    return Deadline(at_s=time.monotonic() + 60.0, clock=time.monotonic)


@dataclass(frozen=True, kw_only=True)
class RunningConsole:
    """The console, what it stands on, and how to take the recommender away."""

    address: str
    settings: Settings
    world: ServingWorld
    recommender: grpc.Server

    @property
    def url(self) -> str:
        """Without a slash at its end."""
        return f"http://{self.address}"


@pytest.fixture(scope="module")
def console(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningConsole]:
    """`python -m services.console` with collector, administration and a replica."""
    from tests.servers import deployment_on

    made = deployment_on(kafka, tmp_path_factory.mktemp("console"))
    (port,) = any_free(1)
    with made.config.open("a", encoding="utf-8") as file:
        file.write(f'[console]\naddress = "{HOST}:{port}"\nwait_s = 10.0\n')
    settings = made.settings
    apply_repository(settings.stores, settings.scoring.decay_per_day)
    world = _with_awkward_titles(serving_world(num_users=20, num_items=60, days=5))
    with ExitStack() as undo:
        for name in ("collector", "admin", "console"):
            undo.callback(_stop, _started(name, made.config))
        replica = _replica(settings, world, made.config.parent)
        undo.callback(replica.close)
        server = grpc.server(ThreadPoolExecutor(4))
        recommender_pb2_grpc.add_RecommenderServiceServicer_to_server(_Servicer(replica), server)
        server.add_insecure_port(settings.serving.recommender)
        server.start()
        undo.callback(lambda: server.stop(0).wait(10))
        for address in (settings.serving.collector, settings.serving.admin, f"{HOST}:{port}"):
            wait_open(int(address.rpartition(":")[2]), timeout_s=300)
        yield RunningConsole(address=f"{HOST}:{port}", settings=settings, world=world, recommender=server)


def _replica(settings: Settings, world: ServingWorld, folder: Path) -> Replica:
    deployment = Deployment(folder, world)
    deployment.publish(untrained(folder / "model"))
    replica = Replica(
        ReplicaParts(
            settings=settings,
            open_features=lambda: world.store,
            open_vectors=deployment.open_vectors,
            open_overlay=lambda: open_overlay(settings),
            releases=deployment.releases,
            follow=deployment.follow,
            topic_name=lambda: "c/t",
            clock=SystemClock(),
            encoder=HereQueryEncoder(),
        )
    )
    replica.start()
    assert replica.wait_ready(60)
    return replica


def _with_awkward_titles(world: ServingWorld) -> ServingWorld:
    titles = [AWKWARD[n % len(AWKWARD)] if n % 3 == 0 else entry.title for n, entry in enumerate(world.entries)]
    entries = [replace(e, title=t) for e, t in zip(world.entries, titles, strict=True)]
    world.store.write_item_content({e.item_id: e for e in entries}, write_time_s=world.end_s)
    return replace(world, entries=entries)


def _started(name: str, config: Path) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-m", f"services.{name}", "--config", str(config)], env=dict(os.environ))


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGTERM)
    try:
        assert process.wait(60) == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
