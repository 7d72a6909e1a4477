"""Items for operators: pages of the catalogue, one item with its picture, and changing what is shown of it."""

import json
import math
from typing import Any, Final

from mmrec.catalog.item import CatalogItem
from mmrec.catalog.refusals import ItemRefusal
from mmrec.catalog.rules import parse_change
from mmrec.content.image_cache import ImageCache
from mmrec.content.store import ContentStore
from mmrec.errors import InvalidRequestError, NotFoundError, PreconditionError, StoreError
from mmrec.home import cache_folder
from mmrec.operating.acts import ActKind, Caller
from mmrec.operating.catalogue_view import CatalogueView, ItemRow, item_summary
from mmrec.operating.instants import stamp
from mmrec.operating.workplace import Workplace
from mmrec.v1 import admin_pb2, catalog_pb2
from mmrec.wire.instants import rfc3339

MAX_PAGE: Final = 200
_USUAL_PAGE: Final = 50
MAX_QUERY: Final = 1_000
MAX_PICTURE_BYTES: Final = 3_900_000
"""Of an answer: a message of gRPC may have 4 MiB where nobody says otherwise."""
ANSWER_S: Final = 30.0


def list_items(at: Workplace, request: admin_pb2.ListItemsRequest, caller: Caller) -> admin_pb2.ListItemsResponse:
    """See admin.proto."""
    view, size = _view(at), request.page_size or _USUAL_PAGE
    if not 1 <= size <= MAX_PAGE:
        raise InvalidRequestError(f"page_size is {request.page_size}; give 1 to {MAX_PAGE}")
    if len(request.query) > MAX_QUERY:
        raise InvalidRequestError(f"query has {len(request.query)} characters; give {MAX_QUERY} at most")
    rows = view.page(request.query, after=_place(request.page_token), num_items=size + 1)
    return admin_pb2.ListItemsResponse(
        items=[row.summary for row in rows[:size]],
        next_page_token=str(rows[size - 1].place) if len(rows) > size else "",
        num_catalogue_items=view.num_items(),
        content_coverage=_coverage(at),
        num_records_behind=view.num_behind(),
    )


def get_item(at: Workplace, request: admin_pb2.GetItemRequest, caller: Caller) -> admin_pb2.GetItemResponse:
    """See admin.proto; NotFoundError where the catalogue has no such item."""
    from mmrec.serving.explain import shown_when  # loads what serving is made of, which lists of items need not

    row = _view(at).row(request.item_id)
    entry = at.features().read_item_content([request.item_id]).get(request.item_id)
    matrix = ContentStore(at.settings.stores.content).load_matrix([request.item_id])
    return admin_pb2.GetItemResponse(
        item=row.item,
        has_picture=row.summary.has_picture,
        shown=shown_when(entry, now_s=at.clock.now_s()) if entry is not None else "",
        modalities=[name for name in matrix.modalities if matrix.present[name].any()],
        inferred_attributes=entry.inferred_attributes if entry is not None else None,
        serving_attributes=entry.given_attributes if entry is not None else None,
        ingest_time=stamp(row.ingest_s),
    )


def get_picture(at: Workplace, request: admin_pb2.GetPictureRequest, caller: Caller) -> admin_pb2.GetPictureResponse:
    """See admin.proto; NotFoundError where there is none, or nobody has fetched it yet."""
    view = _view(at)
    row = view.row(request.item_id)
    if not row.summary.has_picture:
        raise NotFoundError(f"item {request.item_id!r} has no picture")
    if row.picture_uri:
        cache = ImageCache(cache_folder() / "images", max_bytes=at.settings.content.image_cache_bytes)
        kept = cache.read(row.picture_uri)
        if kept is None:
            raise NotFoundError(f"the picture of item {request.item_id!r} is not kept here: {row.picture_uri[:200]}")
        answer = admin_pb2.GetPictureResponse(content=kept.body, uri=row.picture_uri[:MAX_QUERY])
    else:
        item = _item(view, row)
        answer = admin_pb2.GetPictureResponse(content=item.image or b"", media_type=item.media_type)
    if len(answer.content) > MAX_PICTURE_BYTES:
        raise PreconditionError(f"the picture of item {request.item_id!r} has {len(answer.content):,} bytes, too many")
    return answer


def change_item(at: Workplace, request: admin_pb2.ChangeItemRequest, caller: Caller) -> admin_pb2.ChangeItemResponse:
    """See admin.proto: the newest state is sent again, changed, by the rules of the topic.

    Raises:
        InvalidRequestError: nothing is changed, or the rules refuse what it would become.
        NotFoundError: the catalogue has no such item.
        StoreError: the broker did not take it.
    """
    view = _view(at)
    changes = _changes(request)
    with at.changing:
        return _changed(at, view, request, changes, caller)


def _changed(
    at: Workplace,
    view: CatalogueView,
    request: admin_pb2.ChangeItemRequest,
    changes: dict[str, str | float],
    caller: Caller,
) -> admin_pb2.ChangeItemResponse:
    view.catch_up()
    row = view.row(request.item_id)
    record = view.record(row)
    document: dict[str, Any] = json.loads(record.value or b"{}")
    for name, changed in {**changes, "update_time": rfc3339(at.clock.now_s())}.items():
        document.pop(_camel(name), None)
        document[name] = changed
    value = json.dumps(document, ensure_ascii=False, sort_keys=True).encode("utf-8", errors="backslashreplace")
    judged = parse_change(record.key, value)
    if isinstance(judged, ItemRefusal):
        raise InvalidRequestError(f"the item would be refused, {judged.reason.value}: {judged.detail}")
    assert judged.item is not None, "only a record without a value removes an item"
    details = {name: f"{_before(row.summary, name)} -> {changes[name]}" for name in changes}
    with at.acts.recorded(ActKind.CHANGE_ITEM, caller, subject=request.item_id, details=details):
        sent = at.producer().send(at.settings.kafka.catalog_items, record.key or b"", value)
        try:
            place = sent.result(timeout=ANSWER_S)
        except TimeoutError:
            raise StoreError(f"the broker did not take the item within {ANSWER_S:g} s; look at it again") from None
    return admin_pb2.ChangeItemResponse(
        before=row.summary, after=item_summary(judged.item), ingest_time=stamp(place.ingest_time_s)
    )


def _changes(request: admin_pb2.ChangeItemRequest) -> dict[str, str | float]:
    """Field -> new value, as the record has it."""
    changes: dict[str, str | float] = {}
    if request.availability != catalog_pb2.Availability.AVAILABILITY_UNSPECIFIED:
        changes["availability"] = catalog_pb2.Availability.Name(request.availability)
    if request.HasField("price"):
        if not math.isfinite(request.price) or request.price < 0:
            raise InvalidRequestError(f"price is {request.price}; give a finite number of 0 or more")
        changes["price"] = request.price
    if not changes:
        raise InvalidRequestError("nothing is to be changed; give availability or price")
    return changes


def _before(summary: admin_pb2.ItemSummary, name: str) -> str:
    return catalog_pb2.Availability.Name(summary.availability) if name == "availability" else str(summary.price)


def _camel(name: str) -> str:
    """The other spelling of a field in proto3 JSON."""
    first, *others = name.split("_")
    return first + "".join(part.title() for part in others) if others else ""


def _view(at: Workplace) -> CatalogueView:
    if at.view is None:
        raise PreconditionError("nobody follows the catalogue here; ask the administrative service (--address)")
    return at.view


def _item(view: CatalogueView, row: ItemRow) -> CatalogItem:
    record = view.record(row)
    change = parse_change(record.key, record.value)
    if isinstance(change, ItemRefusal) or change.item is None:
        raise NotFoundError(f"item {row.summary.item_id!r} is not in the catalogue any more")
    return change.item


def _place(token: str) -> int:
    if not token:
        return 0
    if not (token.isascii() and token.isdigit() and len(token) < 19):
        raise InvalidRequestError("page_token is not one that this service gave out; leave it empty for the first page")
    return int(token)


def _coverage(at: Workplace) -> dict[str, int]:
    try:
        return ContentStore(at.settings.stores.content).coverage()
    except StoreError:
        return {}  # damaged, or being merged: its writer's own error says so
