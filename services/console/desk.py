"""What all pages share: how one is answered, how a form is taken, and what becomes of a request that may not change."""

import secrets
from collections.abc import Callable
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl

from jinja2 import Environment
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from mmrec.console.entrance import COOKIE, MAX_FORM_BYTES, TOKEN_FIELD, Entrance
from services.console.rendering import rendered

Form = dict[str, str]
Answer = Callable[[Request, Form], Response]
FRAGMENT = "x-fragment"
"""Header of requests of our own script, which puts the answer in place of a part of the page."""


class Desk:
    """Renders pages for the browser that asks."""

    def __init__(self, environment: Environment, entrance: Entrance) -> None:
        self._environment, self.entrance = environment, entrance

    def page(self, request: Request, template: str, *, status: int = 200, **values: Any) -> Response:
        """A whole page; a browser that has no cookie yet gets one."""
        cookie = request.cookies.get(COOKIE, "")
        known = cookie or secrets.token_urlsafe(24)
        shared = {
            "path": request.url.path,
            "token": self.entrance.token(known),
            "can_change": self.entrance.can_change,
        }
        answer = HTMLResponse(rendered(self._environment, template, {**shared, **values}), status_code=status)
        if not cookie:
            answer.set_cookie(
                COOKIE, known, httponly=True, samesite="strict", secure=self.entrance.scheme == "https", path="/"
            )
        return answer

    def problem(self, request: Request, *, status: int, what: str, advice: str) -> Response:
        """A page, or a part of one, that says what is wrong."""
        template = "_problem.html" if request.headers.get(FRAGMENT) else "problem.html"
        return self.page(
            request, template, status=status, status_text=HTTPStatus(status).phrase, what=what, advice=advice
        )

    def change(self, answer: Answer) -> Callable[[Request], Any]:
        """An endpoint that changes something: its form is read and its origin judged before `answer` is asked."""

        async def endpoint(request: Request) -> Response:
            body = b""
            async for piece in request.stream():
                body += piece
                if len(body) > MAX_FORM_BYTES:
                    return self.problem(
                        request,
                        status=413,
                        what=f"The form has more than {MAX_FORM_BYTES:,} bytes.",
                        advice="Send less.",
                    )
            form = dict(parse_qsl(body.decode("utf-8", errors="replace"), keep_blank_values=True, max_num_fields=50))
            refusal = self.entrance.why_not_changed(
                request.headers, cookie=request.cookies.get(COOKIE, ""), token=form.get(TOKEN_FIELD, "")
            )
            if refusal:
                return self.problem(
                    request, status=403, what=f"Nothing was changed: {refusal}.", advice="Load the page, and try again."
                )
            return await run_in_threadpool(answer, request, form)

        return endpoint
