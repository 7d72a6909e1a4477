"""What a request to forget concerns, kept until a receipt says that it is complete.

    <event_log>/forgetting/<keyed hash of the user>.json        readable by its owner only

Once the stream has obeyed, nothing else knows which anonymous ids were the user's. So a second `mmrec forget`, after a
timeout or a crash, takes them from here, wherever it is run. The file names the user only by the hash; it contains the
anonymous ids in the clear, since files are searched for them. Backups leave it out.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from mmrec.disk.files import DurableFiles, replace_file
from mmrec.errors import IncompatibleStateError, StoreError

FORMAT_VERSION: Final = 1


def pending_folder(event_log: Path) -> Path:
    """Folder of a deployment's requests that have no complete receipt yet."""
    return event_log / "forgetting"


def pending_files(folder: Path) -> list[Path]:
    """The files of a folder of pending requests."""
    return list(folder.glob("*.json"))


def num_pending(event_log: Path) -> int:
    """How many requests of a deployment have no complete receipt yet."""
    return len(pending_files(pending_folder(event_log)))


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

    def __init__(self, folder: Path, user_hash: str) -> None:
        """Name the file; nothing is written yet.

        Args:
            folder: Of all pending requests.
            user_hash: See ForgottenUsers.hash_of.
        """
        self.path = folder / f"{user_hash}.json"

    def read(self) -> Asked | None:
        """What an earlier run left; None where none did.

        Raises:
            IncompatibleStateError: the file holds something else.
        """
        try:
            document = json.loads(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (ValueError, OSError) as error:
            raise IncompatibleStateError(f"{self.path} cannot be read ({error}); restore or remove it") from error
        if not isinstance(document, dict) or document.get("format_version") != FORMAT_VERSION:
            raise IncompatibleStateError(f"{self.path} is no pending request of format {FORMAT_VERSION}")
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
            DurableFiles().make_folder(self.path.parent)
            replace_file(self.path, json.dumps(document), mode=0o600)
        except OSError as error:
            raise StoreError(f"{self.path} cannot be written: {error}") from error

    def remove(self) -> None:
        """Remove the file, once the receipt is written."""
        self.path.unlink(missing_ok=True)
