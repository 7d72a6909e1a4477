"""The pages: each asks mmrec.console for what it shows, part by part, and renders it."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from mmrec.console.attempts import attempt
from mmrec.console.operations import Watch, acts, engines, settings_in_force
from mmrec.console.pictures import Pictures
from mmrec.console.refused import KINDS, records, refused, send_again
from mmrec.console.releases import preview, promote, releases, roll_back
from mmrec.console.services import Services
from mmrec.console.storefront import Storefront, new_visitor, visitor_of
from mmrec.console.why import why
from mmrec.telemetry.metrics import Metrics
from services.console.desk import FRAGMENT, Desk, Form

NO_PICTURE = b'<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"/>'
"""Browsers show it whatever the status is: the letter behind it stays to be seen."""


class Pages:
    """Answers to browsers."""

    def __init__(self, services: Services, desk: Desk, metrics: Metrics) -> None:
        self._services, self._desk, self._metrics = services, desk, metrics
        self._shop = Storefront(services)
        self._pictures = Pictures(services)
        self.watch = Watch(services)

    def storefront(self, request: Request) -> Response:
        """A visitor's list, what a search finds, or what is like an item."""
        asked = request.query_params
        key = asked.get("user", "") or new_visitor()
        text, like = asked.get("q", ""), asked.get("like", "")
        if text:
            part = attempt("the search", lambda: self._shop.search(text, visitor_of(key)))
        elif like:
            part = attempt("items like it", lambda: self._shop.like(like))
        else:
            part = attempt("the list", lambda: self._shop.shelf(visitor_of(key)))
        return self._desk.page(
            request, "storefront.html", **self._shown_with(key), part=part, effect=None, text=text, like=like
        )

    def event(self, request: Request, form: Form) -> Response:
        """Send an event and show what it did."""
        key, item_id, behavior = (form.get(name, "") for name in ("user", "item", "behavior"))
        effect = attempt("the event", lambda: self._shop.act(visitor_of(key), item_id, behavior))
        if effect.value and effect.value.change_s is not None:
            self._metrics.observe("mmrec_console_change_seconds", effect.value.change_s)
        shelf = (effect.value and effect.value.shelf) or None
        part = effect if shelf is None else attempt("the list", lambda: shelf)
        template = "_shelf.html" if request.headers.get(FRAGMENT) else "storefront.html"
        return self._desk.page(
            request,
            template,
            status=effect.status,
            **self._shown_with(key),
            part=part,
            effect=effect.value,
            text="",
            like="",
        )

    def why(self, request: Request) -> Response:
        """Why an item is on a visitor's list, or why not."""
        key, item_id = request.query_params.get("user", ""), request.query_params.get("item", "")
        part = attempt("the explanation", lambda: why(self._services, visitor_of(key), item_id)) if item_id else None
        return self._desk.page(request, "why.html", user=key, item=item_id, part=part)

    def models(self, request: Request) -> Response:
        """Releases."""
        return self._models(request)

    def release(self, request: Request) -> Response:
        """One release beside the one that serves, and what promoting it would do."""
        release_id = request.query_params.get("id", "")
        part = attempt("the release", lambda: preview(self._services, release_id))
        return self._desk.page(
            request, "release.html", part=part, release_id=release_id, back=request.query_params.get("back") == "1"
        )

    def promote(self, request: Request, form: Form) -> Response:
        """Make a release serve."""
        release_id, expected = form.get("release", ""), form.get("expected", "")
        done = attempt("promoting", lambda: promote(self._services, release_id, expected=expected))
        said = f"{release_id} serves now; before it, {done.value or 'none'} did. Replicas follow within seconds."
        return self._models(request, status=done.status, said="" if done.failed else said, failed=done)

    def roll_back(self, request: Request, form: Form) -> Response:
        """Make the release before serve again."""
        done = attempt("going back", lambda: roll_back(self._services, expected=form.get("expected", "")))
        said = f"{done.value} serves again. Replicas follow within seconds."
        return self._models(request, status=done.status, said="" if done.failed else said, failed=done)

    def refused(self, request: Request) -> Response:
        """Refused records by reason, and those of one reason."""
        asked = request.query_params
        return self._refused(request, kind=asked.get("kind", "events"), reason=asked.get("reason", ""))

    def send_again(self, request: Request, form: Form) -> Response:
        """Send refused records of one reason again."""
        kind, reason = form.get("kind", ""), form.get("reason", "")
        done = attempt("sending again", lambda: send_again(self._services, kind, reason=reason))
        said = f"{done.value} records were sent again. The stream judges them like any other."
        shown: dict[str, Any] = {"said": "" if done.failed else said, "failed": done}
        return self._refused(request, kind=kind if kind in KINDS else "events", reason="", status=done.status, **shown)

    def operations(self, request: Request) -> Response:
        """Programs, engines, configuration, and who did what."""
        changed_only = request.query_params.get("all") != "1"
        return self._desk.page(
            request,
            "operations.html",
            standing=attempt("the figures", self.watch.standing),
            engines=attempt("the engines", lambda: engines(self._services)),
            configuration=attempt(
                "the configuration", lambda: settings_in_force(self._services, changed_only=changed_only)
            ),
            acts=attempt("the acts", lambda: acts(self._services)),
            changed_only=changed_only,
        )

    def picture(self, request: Request) -> Response:
        """A thumbnail of an item; 404 where there is none that can be shown."""
        item_id = request.query_params.get("item", "")
        part = attempt("the picture", lambda: self._pictures.jpeg(item_id))
        headers = {"cache-control": "private, max-age=60"}
        if part.value is None:
            return Response(NO_PICTURE, status_code=404, media_type="image/svg+xml", headers=headers)
        return Response(part.value, media_type="image/jpeg", headers=headers)

    def _shown_with(self, key: str) -> dict[str, Any]:
        return {"user": key, "stranger": new_visitor(), "behaviors": self._services.settings.behaviors.names}

    def _models(self, request: Request, *, status: int = 200, said: str = "", failed: object = None) -> Response:
        part = attempt("the releases", lambda: releases(self._services))
        return self._desk.page(request, "models.html", status=status, part=part, said=said, failed=failed)

    def _refused(
        self, request: Request, *, kind: str, reason: str, status: int = 200, said: str = "", failed: object = None
    ) -> Response:
        part = attempt("the refused records", lambda: refused(self._services, kind))
        listed = attempt("the records", lambda: records(self._services, kind, reason=reason)) if reason else None
        return self._desk.page(
            request,
            "refused.html",
            status=status,
            part=part,
            listed=listed,
            kind=kind,
            kinds=tuple(KINDS),
            reason=reason,
            said=said,
            failed=failed,
        )
