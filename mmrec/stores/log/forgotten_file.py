"""The registry of forgotten users as two objects beside the event log.

    <event_log>/forgotten/key        32 random bytes, readable by their owner only, made at first use
    <event_log>/forgotten/entries    24 bytes per request: hash (16), then the instant (float64)

Both belong to every backup: without the key no entry can be found again. The entries are replaced as a whole, by who
has seen the newest ones, and only grow at their end: by 24 bytes per request that says something new. A million of them
are 24 MB, which every request then writes anew, and every reader reads after it; in memory 150 MB.
"""

import secrets
import threading
from collections.abc import Iterable, Mapping

from mmrec.disk.objects import Objects
from mmrec.errors import IncompatibleStateError, StoreError
from mmrec.events.forgotten import ENTRY, KEY_BYTES, keyed_hash, times_of

KEY, ENTRIES = "key", "entries"
FOLDER = "forgotten"
"""Of the registry, beside the event log."""


class FileForgottenUsers:
    """ForgottenUsers as objects; any number of processes read and add at once."""

    def __init__(self, objects: Objects) -> None:
        """Open the registry; nothing is written before it is needed.

        Args:
            objects: Of the registry alone, private.
        """
        self._objects = objects
        self._made_key = b""
        self._times: dict[bytes, float] = {}
        self._num_read = 0
        self._seen = ""
        self._lock = threading.Lock()

    def forget(self, user_key: str, *, known_time_s: float) -> None:
        """See ForgottenUsers.

        Raises:
            StoreError: the entry could not be written.
        """
        self.forget_all({user_key: known_time_s})

    def forget_all(self, instants: Mapping[str, float]) -> None:
        """See ForgottenUsers; one write.

        Raises:
            StoreError: the entries could not be written.
        """
        hashed = {keyed_hash(user_key, self._key()): known_time_s for user_key, known_time_s in instants.items()}
        with self._lock:
            try:
                while True:
                    data = self._read_new()
                    new = {name: s for name, s in hashed.items() if self._times.get(name, float("-inf")) < s}
                    if not new:
                        return
                    whole = data[: self._num_read * ENTRY.size]
                    added = b"".join(ENTRY.pack(name, known_time_s) for name, known_time_s in new.items())
                    if self._objects.swap(ENTRIES, whole + added, seen=self._seen):
                        break
                self._read_new()
            except OSError as error:
                place = self._objects.place(ENTRIES)
                raise StoreError(f"{place} could not take an entry: {error}") from error

    def forgotten_s(self, user_keys: Iterable[str]) -> dict[str, float]:
        """See ForgottenUsers.

        Raises:
            IncompatibleStateError: there are entries but no key.
        """
        self.refresh()
        return times_of(user_keys, self._times, self._key()) if self._times else {}

    def num_forgotten(self) -> int:
        """See ForgottenUsers."""
        self.refresh()
        return self._num_read

    def refresh(self) -> None:
        """See ForgottenUsers; one question for the version where nothing is new."""
        with self._lock:
            if self._objects.version(ENTRIES) != self._seen:
                self._read_new()

    def hash_of(self, user_key: str) -> str:
        """See ForgottenUsers."""
        return keyed_hash(user_key, self._key()).hex()

    def _read_new(self) -> bytes:
        """Learn of entries that were added; returns all bytes of them."""
        found = self._objects.read(ENTRIES)
        if found is None:
            self._seen = ""
            return b""
        whole = len(found.data) // ENTRY.size
        for hashed, instant in ENTRY.iter_unpack(found.data[self._num_read * ENTRY.size : whole * ENTRY.size]):
            self._times[hashed] = max(instant, self._times.get(hashed, instant))
        self._num_read, self._seen = max(whole, self._num_read), found.version
        return found.data

    def _key(self) -> bytes:
        self._made_key = self._made_key or self._read_or_make_key()
        return self._made_key

    def _read_or_make_key(self) -> bytes:
        found = self._objects.read(KEY)
        if found is None:
            if (entries := self._objects.read(ENTRIES)) is not None and entries.data:
                raise IncompatibleStateError(
                    f"{self._objects.place(ENTRIES)} has entries but {self._objects.place(KEY)} is gone; restore it "
                    "from a backup"
                )
            # Where another process was first, its key is the key.
            self._objects.create(KEY, secrets.token_bytes(KEY_BYTES))
            found = self._objects.read(KEY)
        key = found.data if found is not None else b""
        if len(key) != KEY_BYTES:
            raise IncompatibleStateError(f"{self._objects.place(KEY)} has {len(key)} bytes; a key has {KEY_BYTES}")
        return key
