"""The console's routes, and what stands before all of them: names, headers, counts."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mmrec.console.attempts import attempt
from mmrec.console.entrance import HEADERS, Entrance, entrance_of
from mmrec.console.services import Services
from mmrec.telemetry.logs import get_logger
from mmrec.telemetry.metrics import Metrics
from services.console.desk import Desk
from services.console.pages import Pages
from services.console.rendering import templates

LIVE_S = 2.0
"""Pause between two values that are pushed."""
STATIC = Path(__file__).parent / "static"

log = get_logger("services.console")


class Doorkeeper:
    """Refuses other names, adds headers, counts answers."""

    def __init__(self, app: ASGIApp, *, entrance: Entrance, metrics: Metrics) -> None:
        self._app, self._entrance, self._metrics = app, entrance, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        began_s, status = time.monotonic(), 500

        async def with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status, headers = message["status"], MutableHeaders(scope=message)
                headers.update(HEADERS)
                headers.setdefault("cache-control", "no-store")
            await send(message)

        refusal = self._entrance.why_not_asked(Headers(scope=scope))
        app = PlainTextResponse(f"{refusal}\n", status_code=421) if refusal else self._app
        try:
            await app(scope, receive, with_headers)
        finally:
            page = _page_of(scope.get("path", ""))
            self._metrics.add("mmrec_console_requests_total", page=page, status=str(status))
            self._metrics.observe("mmrec_console_request_seconds", time.monotonic() - began_s, page=page)


def console_app(services: Services, metrics: Metrics, *, stop: asyncio.Event) -> Starlette:
    """The application; values are pushed until `stop` is set."""
    entrance = entrance_of(services.settings)
    desk = Desk(templates(), entrance)
    pages = Pages(services, desk, metrics)

    async def live(request: Request) -> Response:
        return StreamingResponse(_pushed(pages, stop), media_type="text/event-stream")

    async def not_there(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        return desk.problem(request, status=status, what="There is no such page.", advice="The menu has all pages.")

    async def failed(request: Request, error: Exception) -> Response:
        log.error("page_failed", path=request.url.path, kind=type(error).__name__, error=str(error)[:500])
        return desk.problem(
            request, status=500, what="The console failed.", advice="Its log says why: mmrec logs console"
        )

    return Starlette(
        routes=[*_routes(pages, desk), Route("/live", live), Mount("/static", StaticFiles(directory=STATIC))],
        middleware=[Middleware(Doorkeeper, entrance=entrance, metrics=metrics)],
        exception_handlers={404: not_there, 405: not_there, 500: failed},
    )


def _routes(pages: Pages, desk: Desk) -> list[BaseRoute]:
    looks = {
        "/": pages.storefront,
        "/why": pages.why,
        "/models": pages.models,
        "/models/release": pages.release,
        "/refused": pages.refused,
        "/operations": pages.operations,
        "/picture": pages.picture,
    }
    changes = {
        "/event": pages.event,
        "/models/promote": pages.promote,
        "/models/back": pages.roll_back,
        "/refused/send": pages.send_again,
    }
    return [
        *(Route(path, answer) for path, answer in looks.items()),
        *(Route(path, desk.change(answer), methods=["POST"]) for path, answer in changes.items()),
    ]


async def _pushed(pages: Pages, stop: asyncio.Event) -> AsyncIterator[str]:
    """Server-sent events with the figures of the page of operations."""
    while not stop.is_set():
        part = await run_in_threadpool(attempt, "the figures", pages.watch.standing)
        document: dict[str, Any] = {"failed": part.failed}
        if part.value is not None:
            document["figures"] = dict(part.value.figures)
        yield f"data: {json.dumps(document)}\n\n"
        await asyncio.sleep(LIVE_S)


def _page_of(path: str) -> str:
    """The first part of a path, for counts; a path that is not ours counts as "other"."""
    first = path.strip("/").partition("/")[0]
    ours = ("why", "models", "refused", "operations", "picture", "event", "live", "static")
    return first if first in ours else "other" if first else "storefront"
