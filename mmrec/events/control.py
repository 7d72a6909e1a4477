"""Control records: they travel on the topic behavior-events, so that they keep their order among a user's events.

    identify   the anonymous user is this user: both ids are set, the key is the user id
    forget     everything about the user (or the anonymous user) is to be removed

Decoded, they are rows of EVENT_SCHEMA: `item_id` holds the anonymous profile key for identify and is empty for forget.
Known times of identify rows decide which user an anonymous event belongs to. encode_event gives key and value.
"""

from typing import Final

from mmrec.scoring.behaviors import CONTROL_PREFIX
from mmrec.v1.behavior_pb2 import BehaviorEvent

IDENTIFY: Final = CONTROL_PREFIX + "identify"
FORGET: Final = CONTROL_PREFIX + "forget"
CONTROL_BEHAVIORS: Final = frozenset({IDENTIFY, FORGET})


def identify_event(*, event_id: str, user_id: str, anonymous_id: str) -> BehaviorEvent:
    """The record that says who an anonymous user is, at its ingest time.

    Raises:
        ValueError: an id is empty.
    """
    if not event_id or not user_id or not anonymous_id:
        raise ValueError(
            f"identify needs three ids; got event_id {event_id!r}, user_id {user_id!r}, anonymous_id {anonymous_id!r}"
        )
    return BehaviorEvent(event_id=event_id, user_id=user_id, anonymous_id=anonymous_id, behavior=IDENTIFY)


def forget_event(*, event_id: str, user_id: str = "", anonymous_id: str = "") -> BehaviorEvent:
    """The record that asks to forget one user, or one anonymous user, as of its ingest time.

    Raises:
        ValueError: event_id is empty, or not exactly one of the other ids is given.
    """
    if not event_id or bool(user_id) == bool(anonymous_id):
        raise ValueError(
            f"forget needs event_id and one of user_id and anonymous_id; "
            f"got event_id {event_id!r}, user_id {user_id!r}, anonymous_id {anonymous_id!r}"
        )
    return BehaviorEvent(event_id=event_id, user_id=user_id, anonymous_id=anonymous_id, behavior=FORGET)
