"""Why a record of the catalogue is refused, on the topic as through UpsertItems."""

from dataclasses import dataclass
from enum import Enum


class ItemRejection(Enum):
    """The values are what the rejected topic and ItemStatus carry; those of events mean the same here."""

    MALFORMED_JSON = "malformed_json"
    NOT_AN_OBJECT = "not_an_object"
    TOO_LARGE = "too_large"
    """The value, one of its texts, or the number of attributes, images or media is beyond its bound."""
    WRONG_TYPE = "wrong_type"
    """A known field holds a value of another type."""
    MISSING_ITEM_ID = "missing_item_id"
    BAD_ID = "bad_id"
    """An id is longer than 256 bytes, holds control characters, or is no UTF-8."""
    KEY_MISMATCH = "key_mismatch"
    """The record's key is not its item_id, so that compaction would keep the wrong record."""
    MISSING_TITLE = "missing_title"
    """An item without a title cannot be shown (METHODS M13)."""
    UNKNOWN_AVAILABILITY = "unknown_availability"
    """No name and no number of mmrec.v1.Availability; taking it as available would show what was hidden."""
    BAD_PRICE = "bad_price"
    """No number, below 0, or not finite."""
    BAD_TIME = "bad_time"
    """No RFC 3339 instant."""
    BAD_IMAGE = "bad_image"
    """An image is no base64, or gives both content and uri. A picture that does not decode is no reason to refuse."""
    BAD_MEDIA = "bad_media"
    """Content of a modality that does not exist or has fields of its own, without content, or by a URI that nobody
    fetches. A file that does not decode is no reason to refuse."""
    BAD_VECTOR = "bad_vector"
    """Of item-embeddings: a vector is no row of finite numbers."""


@dataclass(frozen=True, slots=True)
class ItemRefusal:
    """Why a record was not taken, and what would be right."""

    reason: ItemRejection
    detail: str


class ItemRefusedError(Exception):
    """Carries a refusal out of the rules; nobody outside of them sees it."""

    def __init__(self, reason: ItemRejection, detail: str) -> None:
        super().__init__(detail)
        self.refusal = ItemRefusal(reason, detail)
