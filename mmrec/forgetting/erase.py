"""Removes a user from every store, and makes a receipt that says what was done and what could not be read.

    forgotten = forget_user(parts, "ann", wait_s=60.0)
    ... the receipt, forgotten.document, is written ...
    forgotten.settle()

    1  find the keys concerned, by the logins in profiles, log and topic; keep them in a file (pending.py)
    2  send the request to the topic of events; the stream writes the registry, then removes profiles
    3  ask the registry which of the keys are forgotten, including keys of logins that came meanwhile
    4  remove them from log, served lists, offline rows and overlay; then search all files

The receipt is complete, and what was kept for another run goes, once the stream has forgotten all keys, no profile is
left, every file could be read, and no file holds one of the ids. An id that is part of another one is found in that
one: somebody looks, and says so (`looked_at`). Keys that are used again after the request, by whoever has the device
now or by a user who came back, keep what was known later; files that hold only those count as no finding.

What stays: item statistics, neighbors, popular items and models are sums over many users and hold no id. They lose the
user's share when they are built again from the log.
"""

import math
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from typing import Any, Final

from mmrec.disk.objects import Objects
from mmrec.errors import DeadlineError
from mmrec.events.forgotten import ForgottenUsers
from mmrec.events.producer import RecordPlace, TopicRecord
from mmrec.events.topics import TopicIdentity
from mmrec.features.ports import ProfileReader
from mmrec.features.values import StreamProgress
from mmrec.forgetting.keys import Decode, KnownLogins, first_known, logins_among
from mmrec.forgetting.new_life import profiles_left, used_since
from mmrec.forgetting.pending import Asked, PendingRequest
from mmrec.forgetting.removal import AGGREGATES, Stores, erase, num_rows_of
from mmrec.scoring.source import Source

POLL_S: Final = 0.2
CLOCK_STEP_S: Final = 1e-3
"""The broker's clock counts milliseconds; instants from elsewhere may differ in the digits below."""


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What forgetting needs of a deployment."""

    store: ProfileReader
    stores: Stores
    users: ForgottenUsers
    topic: TopicIdentity
    """Of events."""
    read_topic: Callable[[Mapping[int, int]], Iterable[TopicRecord]]
    """Reads its records from an offset per partition to where it ends at the time of the call; see Topics.read."""
    decode: Decode
    send: Callable[[], RecordPlace]
    """Sends the request to the topic."""
    pending: Objects
    """Requests that have no receipt yet; see pending.py."""


@dataclass(frozen=True, kw_only=True)
class Forgotten:
    """A user who was forgotten."""

    document: dict[str, Any]
    """The receipt; it holds keyed hashes, no ids."""
    pending: PendingRequest

    @property
    def is_complete(self) -> bool:
        """Whether everything known about the user was removed, every file could be read, and none holds the id."""
        return bool(self.document["complete"])

    def settle(self) -> None:
        """Call it once the receipt is written: removes what was kept for another run, if none is needed."""
        if self.is_complete:
            self.pending.remove()


def forget_user(
    parts: Parts,
    user_key: str,
    *,
    wait_s: float,
    looked_at: bool = False,
    doing: Callable[[str], AbstractContextManager[Any]] = lambda what: nullcontext(),
) -> Forgotten:
    """Forget a user, or continue where an earlier call was interrupted.

    Args:
        user_key: Profile key: user id, or "~" + anonymous id.
        wait_s: Seconds the stream has to read the request.
        looked_at: Somebody has looked at the files that a search finds: they hold other ids, which contain this one.
            The receipt says so, and is complete in spite of them.
        doing: Entered with a short text for people during each long step.

    Raises:
        DeadlineError: the stream did not read the request in time. Call again; everything needed for that is kept.
        StoreError: an engine failed; the same call continues from there.
    """
    pending = PendingRequest(parts.pending, parts.users.hash_of(user_key))
    with doing("looking for what is known ..."):
        known = KnownLogins(parts.store, parts.stores.log)
        asked = _asked(parts, user_key, known, before=pending.read())
        pending.write(asked)
    with doing("waiting for the stream ..."):
        place = parts.send()
        source = Source(cluster_id=parts.topic.cluster_id, topic_id=parts.topic.topic_id, partition=place.partition)
        wait_until_read(parts.store, source, place.offset, num_forgotten=parts.users.num_forgotten, wait_s=wait_s)
    with doing("removing and searching ..."):
        gone, missed = _obeyed(parts, user_key, known, asked, place)
        erased = erase(
            gone,
            missed=missed,
            had=asked.had,
            stores=parts.stores,
            used_since=lambda: used_since(gone, store=parts.store, log=parts.stores.log, overlay=parts.stores.overlay),
            pending=parts.pending,
        )
    left = profiles_left(parts.store, gone)
    is_unseen = any(store.unread or (store.found and not looked_at) for store in erased.stores)
    document = {
        "user_hash": parts.users.hash_of(user_key),
        "complete": not (missed or left or is_unseen),
        "findings_looked_at": looked_at,
        "merged_hashes": [parts.users.hash_of(key) for key in gone if key != user_key],
        "not_forgotten_hashes": [parts.users.hash_of(key) for key in missed],
        "used_again_hashes": [parts.users.hash_of(key) for key in gone if key in erased.used_again],
        "forgotten_up_to_s": place.ingest_time_s,
        "finished_s": time.time(),
        "request": {"partition": place.partition, "offset": place.offset},
        "profiles_left": len(left),
        "stores": [asdict(store) for store in erased.stores],
        "aggregates_without_ids": list(AGGREGATES),
    }
    return Forgotten(document=document, pending=pending)


def _asked(parts: Parts, user_key: str, known: KnownLogins, *, before: Asked | None) -> Asked:
    """What is known before a request is sent, joined with what an earlier run knew."""
    progress = parts.store.read_progress() or StreamProgress()
    identity = (parts.topic.cluster_id, parts.topic.topic_id)
    starts = {s.partition: mark + 1 for s, mark in progress.marks.items() if (s.cluster_id, s.topic_id) == identity}
    if before is not None and before.topic_id == parts.topic.topic_id:
        starts = dict(before.starts)
    unread = logins_among(parts.read_topic(starts), parts.decode)
    in_stores, on_topic = set(known.keys_of(user_key)), first_known(unread)
    meant = known.keys_of(user_key, more=unread)
    keys = dict.fromkeys((*in_stores, *meant))
    instants = parts.users.forgotten_s(keys)
    after_s = {key: math.nextafter(instants.get(key, 0.0), math.inf) for key in keys}
    at_least_s = dict(before.at_least_s) if before is not None else {}
    for key in keys:
        needed_s = after_s[key] if key in in_stores else on_topic.get(key, after_s[key])
        at_least_s[key] = max(needed_s, at_least_s.get(key, needed_s))
    num_rows, num_lists = num_rows_of(parts.stores.log, keys)
    had = {"log_rows": num_rows, "served_lists": num_lists, "profiles": len(parts.store.read_profiles(keys))}
    if before is not None and instants.get(user_key, -math.inf) >= before.user_at_least_s:
        had = {name: number + before.had.get(name, 0) for name, number in had.items()}
    # Of an anonymous id that another user has logged in on, unread as yet, the earlier user may be meant no more.
    sure = in_stores.intersection(meant).union(before.sure if before is not None else ())
    return Asked(
        at_least_s={key: time_s for key, time_s in at_least_s.items() if key != user_key},
        user_at_least_s=after_s[user_key],
        sure=sure - {user_key},
        topic_id=parts.topic.topic_id,
        starts=starts,
        had=had,
    )


def _obeyed(
    parts: Parts, user_key: str, known: KnownLogins, asked: Asked, place: RecordPlace
) -> tuple[dict[str, float], list[str]]:
    """Keys that the stream has forgotten, each with the instant up to which, `user_key` first; and keys it missed."""
    at_least_s = {user_key: place.ingest_time_s - CLOCK_STEP_S, **asked.at_least_s}
    # Logins between the reading of profiles and the request have left no trace in them.
    later = logins_among(parts.read_topic(asked.starts), parts.decode)
    on_topic = first_known(later)
    meant = known.keys_of(user_key, more=later)
    for key in meant:
        if key not in at_least_s and key in on_topic:
            at_least_s[key] = on_topic[key]
    instants = parts.users.forgotten_s(at_least_s)
    gone = {key: instants[key] for key, time_s in at_least_s.items() if instants.get(key, -math.inf) >= time_s}
    # An anonymous id that was logged in on meanwhile may have been another user's when it was forgotten.
    sure = set(asked.sure).intersection(meant) if user_key in later["item_id"].to_pylist() else asked.sure
    missed = [key for key in (user_key, *sure) if key not in gone]
    return gone, missed


def wait_until_read(
    store: ProfileReader,
    source: Source,
    offset: int,
    *,
    wait_s: float,
    num_forgotten: Callable[[], int] = lambda: 0,
    sleep: Callable[[float], None] = time.sleep,
    timer: Callable[[], float] = time.monotonic,
) -> None:
    """Return once the stream has passed a request to forget and removed the profiles.

    Args:
        num_forgotten: Entries of the registry of forgotten users.

    Raises:
        DeadlineError: it has not within `wait_s`.
    """
    until_s = timer() + wait_s
    while True:
        progress = store.read_progress()
        # Marks are written before profiles are deleted, the count afterwards.
        if (
            progress is not None
            and progress.marks.get(source, -1) >= offset
            and progress.num_forgotten >= num_forgotten()
        ):
            return
        if timer() >= until_s:
            raise DeadlineError(
                f"within {wait_s:g} s the stream has not read the request (partition {source.partition}, {offset});"
                " it stands in Kafka and will be obeyed; run `mmrec forget` again when the stream is up"
            )
        sleep(POLL_S)
