"""One generation of profiles as a file, through the port: for engines whose files cannot be copied, such as Redis.

    header (JSON: generation, live, progress)    then per profile: key, packed bytes; each with its length before it

Progress is read before the profiles, so these may be ahead of it and never behind; their marks make that harmless when
the stream applies the log again (mmrec/stream/step.py). Anonymous profiles come before users: of a login meanwhile the
user's profile has both, and the login in the log only makes the stub; or neither, and the log's login binds them. The
other way round the anonymous events would be in neither. A user is read later than their guest, so one of them may have
seen records that the other has not; then a login does not merge the two, both are counted anew from the log
(identify(starts=...)). A server's own dump (BGSAVE) is the faster way where it is at
hand.
"""

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from mmrec.errors import IncompatibleStateError
from mmrec.events.columns import ANONYMOUS_PREFIX
from mmrec.features.ports import GenerationStore, ProfileStore
from mmrec.features.progress_json import decode_progress, encode_progress
from mmrec.features.schema import other_generation
from mmrec.scoring.packing import pack, unpack
from mmrec.wire.portions import portions

FORMAT: Final = 1
_LENGTH: Final = struct.Struct("<I")
_CHUNK: Final = 1_000


def dump_profiles(store: GenerationStore, name: str, path: Path) -> int:
    """Write a generation; returns its number of profiles."""
    generation = store.generation(name)
    progress, number = generation.read_progress(), 0
    header = {
        "format": FORMAT,
        "generation": name,
        "live": store.live_generation() == name,
        "progress": None if progress is None else encode_progress(progress).decode(),
    }
    with path.open("wb") as file:
        _put(file, json.dumps(header).encode())
        for chunk in _anonymous_first(generation):
            for key, profile in generation.read_profiles(chunk).items():
                _put(file, key.encode())
                _put(file, pack(profile))
                number += 1
    return number


def load_profiles(store: GenerationStore, path: Path, *, write_time_s: float) -> int:
    """Put a generation back in place of what stands there; returns its number of profiles.

    Raises:
        IncompatibleStateError: the file is of another format, or was cut.
    """
    with path.open("rb") as file:
        header = json.loads(_get(file))
        if header.get("format") != FORMAT:
            raise IncompatibleStateError(f"{path} has format {header.get('format')}; this code reads {FORMAT}")
        name, number = str(header["generation"]), 0
        if store.live_generation() == name:
            store.set_live_generation(other_generation(name))
        store.begin_generation(name)
        generation = store.generation(name)
        for chunk in portions(_pairs(file), _CHUNK):
            profiles = {key: unpack(packed) for key, packed in chunk}
            generation.write_profiles(profiles, write_time_s=write_time_s)
            number += len(chunk)
        if header["progress"] is not None:
            progress = decode_progress(header["progress"].encode())
            generation.write_profiles({}, write_time_s=write_time_s, progress=progress)
        if header["live"]:
            store.set_live_generation(name)
    return number


def _anonymous_first(generation: ProfileStore) -> Iterator[list[str]]:
    """All keys, some at a time; users are looked for once the last anonymous profile was read."""
    for anonymous in (True, False):
        keys = (key for key in generation.user_keys() if key.startswith(ANONYMOUS_PREFIX) is anonymous)
        yield from portions(keys, _CHUNK)


def _pairs(file: BinaryIO) -> Iterator[tuple[str, bytes]]:
    while key := _get(file):
        yield key.decode(), _get(file)


def _put(file: BinaryIO, data: bytes) -> None:
    file.write(_LENGTH.pack(len(data)))
    file.write(data)


def _get(file: BinaryIO) -> bytes:
    size = file.read(_LENGTH.size)
    if not size:
        return b""
    length = _LENGTH.unpack(size)[0] if len(size) == _LENGTH.size else -1
    data = file.read(max(length, 0))
    if len(data) != length:
        raise IncompatibleStateError(f"{file.name} was cut; the backup is not whole")
    return data
