"""A running console over services of a tiny shop, which speak the real protocols from the test's own process.

Fixture: `console`.
"""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import grpc
import pytest

from mmrec.config import Settings, load_settings
from mmrec.telemetry.logs import read_status
from mmrec.v1 import (
    admin_pb2,
    admin_pb2_grpc,
    collector_pb2,
    collector_pb2_grpc,
    recommender_pb2,
    recommender_pb2_grpc,
)
from services.stack.ports import any_free

EVIL = '"><script>alert(1)</script>\u202e' + "W" * 500


@dataclass
class Shop(
    recommender_pb2_grpc.RecommenderServiceServicer,
    collector_pb2_grpc.CollectorServiceServicer,
    admin_pb2_grpc.AdminServiceServicer,
):
    """Services of a tiny shop, in this process: what was touched last leads the list."""

    touched: list[str] = field(default_factory=list)
    serves: str = "r2"
    failing: bool = False

    def RecommendItems(self, request: Any, context: grpc.ServicerContext) -> recommender_pb2.RecommendItemsResponse:
        if self.failing:
            context.abort(grpc.StatusCode.INTERNAL, "the recommender failed; its log says why")
        order = [*dict.fromkeys(reversed(self.touched)), *(i for i in ("i1", "i2", "evil") if i not in self.touched)]
        titles = {"i1": "Red shoe", "i2": "Blue dress", "evil": EVIL}
        answer = recommender_pb2.RecommendItemsResponse(request_id="q1", release_id=self.serves)
        for rank, item_id in enumerate(order, 1):
            answer.items.add(item_id=item_id, rank=rank, title=titles[item_id], domain="shoes", price=9.0)
        return answer

    def ExplainItem(self, request: Any, context: grpc.ServicerContext) -> recommender_pb2.ExplainItemResponse:
        if request.item_id == "gone":
            context.abort(grpc.StatusCode.NOT_FOUND, "item 'gone' is not in the catalogue")
        return recommender_pb2.ExplainItemResponse(
            outcome=recommender_pb2.ITEM_OUTCOME_CUT,
            text="Too little spoke for it.",
            item=recommender_pb2.RecommendedItem(item_id=request.item_id, title=EVIL),
            contributions={"popularity": -0.5},
        )

    def RecordBehaviors(self, requests: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        for request in requests:
            self.touched += [event.item_id for event in request.events]
            taken = collector_pb2.EventOutcome.EVENT_OUTCOME_ACKNOWLEDGED
            statuses = [collector_pb2.EventStatus(event_id=e.event_id, outcome=taken) for e in request.events]
            yield collector_pb2.RecordBehaviorsResponse(statuses=statuses)

    def ListReleases(self, request: Any, context: grpc.ServicerContext) -> admin_pb2.ListReleasesResponse:
        answer = admin_pb2.ListReleasesResponse(current_release_id=self.serves, previous_release_id="r1")
        for release_id, ndcg in (("r1", 0.2), ("r2", 0.3)):
            answer.releases.add(release_id=release_id, num_items=3, metrics={"ndcg_at_10": ndcg})
        return answer

    def PromoteRelease(self, request: Any, context: grpc.ServicerContext) -> admin_pb2.PromoteReleaseResponse:
        before, self.serves = self.serves, request.release_id
        return admin_pb2.PromoteReleaseResponse(previous_release_id=before)


@dataclass(frozen=True)
class Console:
    """A running console and what it calls."""

    shop: Shop
    settings: Settings
    config: Path
    port: int

    def ask(self, path: str, **headers: str) -> tuple[HTTPResponse, str]:
        """GET as a browser would."""
        return self._send("GET", path, None, headers)

    def change(self, path: str, fields: dict[str, str], **headers: str) -> tuple[HTTPResponse, str]:
        """POST a form with the token that the storefront carries, as a browser would."""
        page, text = self.ask("/")
        cookie = page.getheader("set-cookie", "").partition(";")[0]
        token = re.search(r'name="token" value="([0-9a-f]+)"', text)
        known = {"cookie": cookie, "origin": f"http://127.0.0.1:{self.port}", "sec-fetch-site": "same-origin"}
        sent = {"token": token.group(1) if token else "", **fields}
        return self._send("POST", path, sent, {**known, **headers})

    def _send(
        self, method: str, path: str, form: dict[str, str] | None, headers: dict[str, str]
    ) -> tuple[HTTPResponse, str]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        body = urlencode(form) if form is not None else None
        more = {"content-type": "application/x-www-form-urlencoded"} if form is not None else {}
        connection.request(method, path, body, {**more, **{n.replace("_", "-"): v for n, v in headers.items()}})
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer, text


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    shop, server, folder = Shop(), grpc.server(ThreadPoolExecutor(4)), tmp_path_factory.mktemp("console")
    recommender_pb2_grpc.add_RecommenderServiceServicer_to_server(shop, server)
    collector_pb2_grpc.add_CollectorServiceServicer_to_server(shop, server)
    admin_pb2_grpc.add_AdminServiceServicer_to_server(shop, server)
    called, (port,) = server.add_insecure_port("127.0.0.1:0"), any_free(1)
    server.start()
    config = folder / "mmrec.toml"
    services = "\n".join(f'{name} = "127.0.0.1:{called}"' for name in ("recommender", "collector", "admin"))
    config.write_text(
        f'[serving]\n{services}\n[stores]\nstatus = "{folder}/status"\n'
        f'[console]\naddress = "127.0.0.1:{port}"\nwait_s = 1.0\n'
    )
    process = subprocess.Popen([sys.executable, "-m", "services.console", "--config", str(config)])
    found = Console(shop=shop, settings=load_settings(config), config=config, port=port)
    try:
        _until_it_answers(found, process)
        yield found
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert read_status(found.settings.stores.status)["console"]["ready"] is False
    finally:
        process.kill()
        process.wait()
        server.stop(None).wait()


def _until_it_answers(console: Console, process: "subprocess.Popen[bytes]") -> None:
    give_up_s = time.monotonic() + 120
    while time.monotonic() < give_up_s:
        assert process.poll() is None
        try:
            console.ask("/static/console.css")
            return
        except ConnectionError:
            time.sleep(0.1)
    raise AssertionError("the console does not answer")
