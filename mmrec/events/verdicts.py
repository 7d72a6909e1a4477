"""What can become of an event, and every reason for refusing one."""

from enum import Enum, IntEnum


class Verdict(IntEnum):
    """What *apply* decided about a decoded event."""

    ACCEPTED = 0
    """Counted in the profile and written to the log."""
    DUPLICATE = 1
    """An event with the same id of the same user was counted within the window."""
    ALREADY_APPLIED = 2
    """At or below the profile's mark for its source: seen in an earlier delivery."""
    CAPPED = 3
    """Over the user's rate cap; neither counted nor logged, and submitted again it is exempt."""
    BOT = 4
    """Of a user whom the bot rule holds for a program; as CAPPED."""
    FORGOTTEN = 5
    """Known no later than the instant its user asked to be forgotten: it changes nothing, marks included."""


class Rejection(Enum):
    """Why a record was refused, by the codec or by *apply*. The values are what the rejected topic carries."""

    MALFORMED_JSON = "malformed_json"
    NOT_AN_OBJECT = "not_an_object"
    WRONG_TYPE = "wrong_type"
    """A known field holds a value of another type, or a number that is not finite."""
    MISSING_EVENT_ID = "missing_event_id"
    MISSING_USER_ID = "missing_user_id"
    MISSING_ITEM_ID = "missing_item_id"
    MISSING_BEHAVIOR = "missing_behavior"
    UNKNOWN_BEHAVIOR = "unknown_behavior"
    BAD_ID = "bad_id"
    """An id is longer than 256 bytes, holds control characters, or begins with the reserved "~"."""
    BAD_TIME = "bad_time"
    """event_time is no RFC 3339 instant."""
    OUT_OF_RANGE = "out_of_range"
    """quantity, price or position is negative."""
    TIME_IN_FUTURE = "time_in_future"
    """event_time is later than ingest time by more than the configured skew."""
    TIME_BEFORE_HORIZON = "time_before_horizon"
    """event_time is before the configured horizon."""
    KEY_MISMATCH = "key_mismatch"
    """The record's key is not the user it speaks of, so order per user would not hold."""
    TOO_LARGE = "too_large"
    """The value is longer than the configured bound."""
    RATE_CAPPED = "rate_capped"
    """Verdict CAPPED: the record itself was fine."""
    BOT = "bot"
    """Verdict BOT: the record itself was fine."""
