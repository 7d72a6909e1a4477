"""Who asked to be forgotten, and when: the port, its laws, and the reference in memory.

Laws, for both implementations (tests/contract/test_forgotten_users.py):
- Once forget() has returned, every process sees its entry, also after a crash.
- Only a keyed hash of a user is kept: no id, and nothing from which an id could be guessed without the key.
- An event of a user counts only if it was known after the newest instant the user was forgotten at.
- Forgetting again at the same or an earlier instant changes nothing; the number of entries never goes down.
"""

import secrets
import struct
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Final, Protocol

KEY_BYTES: Final = 32
HASH_BYTES: Final = 16
ENTRY: Final = struct.Struct(f"<{HASH_BYTES}sd")
"""An entry of a registry in bytes: keyed hash, then the instant as float64."""


class ForgottenUsers(Protocol):
    """Registry of forgotten users; their events known at or before the instant are neither counted nor logged."""

    def forget(self, user_key: str, *, known_time_s: float) -> None:
        """Forget a user up to an instant; durable when it returns, and harmless to repeat.

        Args:
            user_key: User id, or "~" + anonymous id.
            known_time_s: Instant of the request, by the broker's clock: the ingest time of its record.
        """
        ...

    def forget_all(self, instants: Mapping[str, float]) -> None:
        """Forget keys that belong together, each up to its instant: a process that ends leaves all of them or none.

        Args:
            instants: By user key, see forget().
        """
        ...

    def forgotten_s(self, user_keys: Iterable[str]) -> dict[str, float]:
        """The newest instant of each forgotten user among `user_keys`; others are left out.

        Entries of other processes are seen as of the call. Costs one hash per key (about 1 us), nothing while the
        registry is empty.
        """
        ...

    def num_forgotten(self) -> int:
        """Number of entries, other processes' included; a store that has seen fewer must be swept."""
        ...

    def refresh(self) -> None:
        """Read the entries of other processes now; forgotten_s and num_forgotten do so by themselves."""
        ...

    def hash_of(self, user_key: str) -> str:
        """Name of a user in receipts: hexadecimal keyed hash, 32 digits."""
        ...


class MemoryForgottenUsers:
    """The reference: a dictionary of hashes under a key of its own."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(KEY_BYTES)
        self._times: dict[bytes, float] = {}
        self._num_entries = 0

    def forget(self, user_key: str, *, known_time_s: float) -> None:
        """See ForgottenUsers."""
        self.forget_all({user_key: known_time_s})

    def forget_all(self, instants: Mapping[str, float]) -> None:
        """See ForgottenUsers."""
        for user_key, known_time_s in instants.items():
            hashed = keyed_hash(user_key, self._key)
            if self._times.get(hashed, float("-inf")) < known_time_s:
                self._times[hashed] = known_time_s
                self._num_entries += 1

    def forgotten_s(self, user_keys: Iterable[str]) -> dict[str, float]:
        """See ForgottenUsers."""
        return times_of(user_keys, self._times, self._key)

    def num_forgotten(self) -> int:
        """See ForgottenUsers."""
        return self._num_entries

    def refresh(self) -> None:
        """See ForgottenUsers; there are no other processes."""

    def hash_of(self, user_key: str) -> str:
        """See ForgottenUsers."""
        return keyed_hash(user_key, self._key).hex()


def keyed_hash(user_key: str, key: bytes) -> bytes:
    """Hash that says nothing about the user to anyone without `key`: keyed BLAKE2b, 16 bytes."""
    return blake2b(user_key.encode(), key=key, digest_size=HASH_BYTES).digest()


def times_of(user_keys: Iterable[str], times: dict[bytes, float], key: bytes) -> dict[str, float]:
    """Those of `user_keys` with a hash in `times`, each with its instant."""
    if not times:
        return {}
    hashed = ((user_key, keyed_hash(user_key, key)) for user_key in user_keys)
    return {user_key: times[name] for user_key, name in hashed if name in times}
