"""The stored form of a profile: one versioned value of little-endian arrays and one block of text.

    header | float64: references (I), counts (I*H*B), totals (H*B), recent event and known times (2L), ring times (R)
           | uint64: ring ids (R) | int64: mark offsets (S) | int32: mark partitions (S)
           | uint8: recent behaviors (L), behavior ids (B)
           | texts of mmrec.scoring.names: item ids (I) | recent item ids (L)
           | owners: merged_into, merged_from (M), cluster and topic ids (2S)

The header is 96 bytes, so every array of 8-byte numbers is aligned and is read without a copy.
"""

import struct
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from mmrec.errors import IncompatibleStateError
from mmrec.scoring.names import Names
from mmrec.scoring.profile import UserProfile
from mmrec.scoring.source import Source, source_of

FORMAT = 3
"""Version of the layout below; another number in stored bytes is an IncompatibleStateError."""
MAGIC = b"mmPf"
HEADER_FIELDS: Final = (
    ("magic", "4s"),
    ("version", "H"),
    ("num_rates", "B"),
    ("num_behaviors", "B"),
    ("num_items", "I"),
    ("num_recent", "H"),
    ("num_marks", "H"),
    ("num_ring", "I"),
    ("num_events", "Q"),
    ("num_pruned_items", "I"),
    ("first_event_time_s", "d"),
    ("newest_event_time_s", "d"),
    ("newest_ingest_time_s", "d"),
    ("window_start_s", "d"),
    ("bot_until_s", "d"),
    ("window_events", "I"),
    ("full_windows", "I"),
    ("num_merged", "H"),
    ("gap", "2x"),
    ("items_size", "I"),
    ("recent_size", "I"),
    ("end", "4x"),
)
"""(name, struct code) of each field, in their order; pack() gives a value for all but those of zeros ("x")."""
HEADER = struct.Struct("<" + "".join(code for _, code in HEADER_FIELDS))
assert HEADER.size == 96
_FLOATS, _RING_IDS, _SMALL = np.dtype("<f8"), np.dtype("<u8"), np.dtype(np.uint8)


def pack(profile: UserProfile) -> bytes:
    """Bytes that unpack() turns into an equal profile, bit for bit.

    Raises:
        ValueError: an id holds the separator U+001F.
    """
    num_items, num_rates, num_behaviors = profile.counts_IHB.shape
    num_recent, num_ring, num_marks = len(profile.recent_names), len(profile.ring_ids_R), len(profile.marks)
    marks, owners_text = pack_marks(profile.marks, merged_into=profile.merged_into, merged_from=profile.merged_from)
    items_text, recent_text = profile.names.text, profile.recent_names.text
    header = HEADER.pack(
        MAGIC,
        FORMAT,
        num_rates,
        num_behaviors,
        num_items,
        num_recent,
        num_marks,
        num_ring,
        profile.num_events,
        profile.num_pruned_items,
        profile.first_event_time_s,
        profile.newest_event_time_s,
        profile.newest_ingest_time_s,
        profile.window_start_s,
        profile.bot_until_s,
        profile.window_events,
        profile.full_windows,
        len(profile.merged_from),
        len(items_text),
        len(recent_text),
    )
    return b"".join(
        (
            header,
            profile.reference_times_I.tobytes(),
            profile.counts_IHB.tobytes(),
            profile.totals_HB.tobytes(),
            profile.recent_event_times_L.tobytes(),
            profile.recent_known_times_L.tobytes(),
            profile.ring_ingest_times_R.tobytes(),
            profile.ring_ids_R.tobytes(),
            marks,
            profile.recent_behavior_ids_L.tobytes(),
            profile.behavior_ids_B.tobytes(),
            items_text,
            recent_text,
            owners_text,
        )
    )


def unpack(data: bytes) -> UserProfile:
    """The profile that pack() wrote. Its arrays are read-only views of `data`.

    Raises:
        IncompatibleStateError: these bytes are no packed profile, or of a version this code does not read.
    """
    numbers = _header_of(data)
    num_rates, num_behaviors, num_items, num_recent, num_marks, num_ring = numbers[2:8]
    num_events, num_pruned_items, first_event_time_s, newest_event_time_s, newest_ingest_time_s = numbers[8:13]
    window_start_s, bot_until_s, window_events, full_windows, num_merged, items_size, recent_size = numbers[13:]
    width = num_rates * num_behaviors
    num_floats = _num_floats(numbers)
    place = HEADER.size + 8 * num_floats
    text_at = place + 8 * num_ring + 12 * num_marks + num_recent + num_behaviors
    if len(data) < text_at:
        raise IncompatibleStateError(f"a packed profile is cut short: {len(data)} bytes, its arrays need {text_at}")
    floats = np.frombuffer(data, dtype=_FLOATS, count=num_floats, offset=HEADER.size)
    ring_ids_R = np.frombuffer(data, dtype=_RING_IDS, count=num_ring, offset=place)
    place += 8 * num_ring
    marks_block = data[place : place + 12 * num_marks]
    place += 12 * num_marks
    small = np.frombuffer(data, dtype=_SMALL, count=num_recent + num_behaviors, offset=place)
    recent_text_at = text_at + items_size
    owners_at = recent_text_at + recent_size
    marks, owners = unpack_marks(marks_block, data[owners_at:], num_marks=num_marks, num_merged=num_merged)
    counts_at = num_items * (1 + width)
    recent_at = counts_at + width
    ring_at = recent_at + 2 * num_recent
    return UserProfile(
        behavior_ids_B=small[num_recent:],
        names=Names.stored(data[text_at:recent_text_at], num_items),
        reference_times_I=floats[:num_items],
        counts_IHB=floats[num_items:counts_at].reshape(num_items, num_rates, num_behaviors),
        recent_names=Names.stored(data[recent_text_at:owners_at], num_recent),
        recent_behavior_ids_L=small[:num_recent],
        recent_event_times_L=floats[recent_at : recent_at + num_recent],
        recent_known_times_L=floats[recent_at + num_recent : ring_at],
        totals_HB=floats[counts_at:recent_at].reshape(num_rates, num_behaviors),
        num_events=num_events,
        num_pruned_items=num_pruned_items,
        first_event_time_s=first_event_time_s,
        newest_event_time_s=newest_event_time_s,
        newest_ingest_time_s=newest_ingest_time_s,
        marks=marks,
        ring_ids_R=ring_ids_R,
        ring_ingest_times_R=floats[ring_at:],
        window_start_s=window_start_s,
        window_events=window_events,
        full_windows=full_windows,
        bot_until_s=bot_until_s,
        merged_into=owners[0],
        merged_from=owners[1:],
    )


def _header_of(data: bytes) -> tuple[Any, ...]:
    """Values of HEADER_FIELDS in their order, those of zeros left out; IncompatibleStateError as of unpack()."""
    if len(data) < HEADER.size or data[:4] != MAGIC:
        raise IncompatibleStateError(f"{len(data)} bytes beginning {data[:4]!r} are no packed profile")
    numbers = HEADER.unpack_from(data)
    if numbers[1] != FORMAT:
        raise IncompatibleStateError(
            f"a profile is packed in format {numbers[1]}, this code reads {FORMAT}; rebuild the profiles from the log"
        )
    return numbers


def _num_floats(header: tuple[Any, ...]) -> int:
    """Numbers in the float64 block of a profile with this header."""
    num_rates, num_behaviors, num_items, num_recent, _, num_ring = header[2:8]
    width: int = num_rates * num_behaviors
    return int(num_items * (1 + width) + width + 2 * num_recent + num_ring)


def pack_marks(
    marks: Mapping[Source, int], *, merged_into: str = "", merged_from: tuple[str, ...] = ()
) -> tuple[bytes, bytes]:
    """(marks' offsets and partitions, text of the merged keys and of the marks' sources)."""
    names = [merged_into, *merged_from]
    partitions: list[int] = []
    for source in marks:
        names.append(source.cluster_id)
        names.append(source.topic_id)
        partitions.append(source.partition)
    return struct.pack(f"<{len(marks)}q{len(marks)}i", *marks.values(), *partitions), Names(names).text


def unpack_marks(
    block: bytes, text: bytes, *, num_marks: int, num_merged: int
) -> tuple[dict[Source, int], tuple[str, ...]]:
    """(marks, merged_into and behind it merged_from) of what pack_marks() gave.

    Raises:
        IncompatibleStateError: the text holds another number of ids.
    """
    numbers = struct.unpack(f"<{num_marks}q{num_marks}i", block)
    names = text.decode().split("\x1f")[1:-1]
    if len(names) != 1 + num_merged + 2 * num_marks:
        raise IncompatibleStateError(
            f"a packed profile holds {len(names)} ids where {1 + num_merged + 2 * num_marks} belong"
        )
    of_sources = names[1 + num_merged :]
    marks = {
        source_of(of_sources[2 * index], of_sources[2 * index + 1], numbers[num_marks + index]): numbers[index]
        for index in range(num_marks)
    }
    return marks, tuple(names[: 1 + num_merged])


def guests_of(data: bytes) -> tuple[str, ...]:
    """The anonymous keys that a packed profile names (merged_from), without unpacking anything else.

    Raises:
        IncompatibleStateError: these bytes are no packed profile, or of a version this code does not read.
    """
    numbers = _header_of(data)
    num_behaviors, _, num_recent, num_marks, num_ring = numbers[3:8]
    num_merged, items_size, recent_size = numbers[17:]
    if not num_merged:
        return ()
    marks_at = HEADER.size + 8 * (_num_floats(numbers) + num_ring)
    owners_at = marks_at + 12 * num_marks + num_recent + num_behaviors + items_size + recent_size
    _, owners = unpack_marks(
        data[marks_at : marks_at + 12 * num_marks], data[owners_at:], num_marks=num_marks, num_merged=num_merged
    )
    return owners[1:]


_NO_EVENTS = bytes(8)


def stub_of(data: bytes) -> UserProfile | None:
    """The stub that a login leaves, where a packed profile is one; None for all others, without unpacking them."""
    if data[20:28] != _NO_EVENTS:
        return None
    profile = unpack(data)
    return profile if profile.merged_into else None
