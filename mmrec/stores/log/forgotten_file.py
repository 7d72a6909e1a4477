"""The registry of forgotten users as two files in the event log's folder.

    <event_log>/forgotten/key        32 random bytes, readable by their owner only, made at first use
    <event_log>/forgotten/entries    24 bytes per request, appended and synced: hash (16), then the instant (float64)

Both belong to every backup: without the key no entry can be found again. An entry that a crash cut short is cut off by
the next one. It grows by 24 bytes per request that says something new; a million of them are 24 MB, in memory 150 MB.
"""

import fcntl
import os
import secrets
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path

from mmrec.disk.files import create_file, sync_folder
from mmrec.errors import ConfigurationError, IncompatibleStateError, StoreError
from mmrec.events.forgotten import ENTRY, KEY_BYTES, keyed_hash, times_of


class FileForgottenUsers:
    """ForgottenUsers in a folder; any number of processes read and add at once."""

    def __init__(self, folder: str | Path) -> None:
        """Open the registry; nothing is written before it is needed.

        Args:
            folder: Path of its own folder.
        """
        if "://" in str(folder):
            raise ConfigurationError(f"the registry of forgotten users is at {folder}; give a local folder")
        self._folder = Path(folder)
        self._entries = self._folder / "entries"
        self._made_key = b""
        self._times: dict[bytes, float] = {}
        self._num_read = 0
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
                with self._entries.open("ab") as file:
                    fcntl.flock(file, fcntl.LOCK_EX)
                    self._read_new()
                    new = {name: s for name, s in hashed.items() if self._times.get(name, float("-inf")) < s}
                    if not new:
                        return
                    os.ftruncate(file.fileno(), self._num_read * ENTRY.size)
                    file.write(b"".join(ENTRY.pack(name, known_time_s) for name, known_time_s in new.items()))
                    file.flush()
                    os.fsync(file.fileno())
                sync_folder(self._folder)
                self._read_new()
            except OSError as error:
                raise StoreError(f"{self._entries} could not take an entry: {error}") from error

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
        """See ForgottenUsers; one look at the file's size where nothing is new."""
        with self._lock:
            self._read_new()

    def hash_of(self, user_key: str) -> str:
        """See ForgottenUsers."""
        return keyed_hash(user_key, self._key()).hex()

    def _read_new(self) -> None:
        try:
            if self._entries.stat().st_size < (self._num_read + 1) * ENTRY.size:
                return
        except FileNotFoundError:
            return
        with self._entries.open("rb") as file:
            file.seek(self._num_read * ENTRY.size)
            data = file.read()
        whole = len(data) // ENTRY.size
        for hashed, instant in ENTRY.iter_unpack(data[: whole * ENTRY.size]):
            self._times[hashed] = max(instant, self._times.get(hashed, instant))
        self._num_read += whole

    def _key(self) -> bytes:
        self._made_key = self._made_key or self._read_or_make_key()
        return self._made_key

    def _read_or_make_key(self) -> bytes:
        path = self._folder / "key"
        self._folder.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            if self._entries.exists() and self._entries.stat().st_size:
                raise IncompatibleStateError(
                    f"{self._entries} has entries but {path} is gone; restore it from a backup"
                )
            # Where another process was first, its key is the key.
            create_file(path, secrets.token_bytes(KEY_BYTES), mode=0o600)
        key = path.read_bytes()
        if len(key) != KEY_BYTES:
            raise IncompatibleStateError(f"{path} has {len(key)} bytes; a key has {KEY_BYTES}")
        return key
