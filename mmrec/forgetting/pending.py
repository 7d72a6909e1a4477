"""What a request to forget concerns, kept until a receipt says that it is complete.

    <event_log>/forgetting/<keyed hash of the user>.json        readable by its owner only

Once the stream has obeyed, nothing else knows which anonymous ids were the user's. So a second `mmrec forget`, after a
timeout or a crash, takes them from here, wherever it is run. The file names the user only by the hash; it contains the
anonymous ids in the clear, since files are searched for them. Backups leave it out.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

from mmrec.disk.objects import Objects
from mmrec.errors import IncompatibleStateError, StoreError

FORMAT_VERSION: Final = 1


FOLDER: Final = "forgetting"
"""Of the requests that have no complete receipt yet, beside the event log."""


def pending_requests(event_log: Objects) -> Objects:
    """Where a deployment keeps its requests that have no complete receipt yet."""
    return event_log.within(FOLDER, private=True)


def num_pending(event_log: Objects) -> int:
    """How many requests of a deployment have no complete receipt yet."""
    return sum(entry.name.endswith(".json") for entry in event_log.entries(FOLDER))


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What was known before a request was sent."""

    at_least_s: Mapping[str, float] = field(default_factory=dict)
    """By anonymous key (or user, where an anonymous id is forgotten): the stream has obeyed once the registry of
    forgotten users has at least this instant. The key that the request names is not among them."""
    user_at_least_s: float = 0.0
    """The same for the key that the request names."""
    sure: Collection[str] = ()
    """The keys that profiles or the log tie to the user. The others are from logins that the stream had not read, and
    it decides whether those count."""
    topic_id: str = ""
    starts: Mapping[int, int] = field(default_factory=dict)
    """Offset by partition of the topic of events: logins before it are in the profiles that the keys were read from."""
    had: Mapping[str, int] = field(default_factory=dict)
    """Rows and profiles that were there, by kind."""


class PendingRequest:
    """The file of one user's request."""

    def __init__(self, requests: Objects, user_hash: str) -> None:
        """Name the file; nothing is written yet.

        Args:
            requests: All pending ones; see pending_requests().
            user_hash: See ForgottenUsers.hash_of.
        """
        self._requests, self._name = requests, f"{user_hash}.json"

    @property
    def place(self) -> str:
        """Where the file is, for people."""
        return self._requests.place(self._name)

    def read(self) -> Asked | None:
        """What an earlier run left; None where none did.

        Raises:
            IncompatibleStateError: the file holds something else.
        """
        try:
            found = self._requests.read(self._name)
            if found is None:
                return None
            document = json.loads(found.data)
        except (ValueError, OSError) as error:
            raise IncompatibleStateError(f"{self.place} cannot be read ({error}); restore or remove it") from error
        if not isinstance(document, dict) or document.get("format_version") != FORMAT_VERSION:
            raise IncompatibleStateError(f"{self.place} is no pending request of format {FORMAT_VERSION}")
        return Asked(
            at_least_s=document["at_least_s"],
            user_at_least_s=document["user_at_least_s"],
            sure=document["sure"],
            topic_id=document["topic_id"],
            starts={int(partition): offset for partition, offset in document["starts"].items()},
            had=document["had"],
        )

    def write(self, asked: Asked) -> None:
        """Write the file; readers see the old or the new one.

        Raises:
            StoreError: the file cannot be written.
        """
        document = {
            "format_version": FORMAT_VERSION,
            "at_least_s": dict(asked.at_least_s),
            "user_at_least_s": asked.user_at_least_s,
            "sure": sorted(asked.sure),
            "topic_id": asked.topic_id,
            "starts": dict(asked.starts),
            "had": dict(asked.had),
        }
        try:
            self._requests.write(self._name, json.dumps(document).encode())
        except OSError as error:
            raise StoreError(f"{self.place} cannot be written: {error}") from error

    def remove(self) -> None:
        """Remove the file, once the receipt is written."""
        self._requests.remove(self._name)
