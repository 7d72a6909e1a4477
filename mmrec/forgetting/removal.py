"""Removes what the stream does not: rows of the log and offline rows; then searches every file.

erased = erase(gone, had=..., stores=..., ...)
erased.stores               what was removed, found, and could not be read
erased.used_again           keys that somebody has used since the request: what is known since then stays
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from mmrec.collecting.overlay import Overlay
from mmrec.disk.objects import Objects
from mmrec.events.log import EventLog
from mmrec.forgetting.pending import FOLDER
from mmrec.forgetting.user_bytes import Scan, remove_from_parquet, scan_folder, scan_objects, vacuum_databases

AGGREGATES: Final = (
    "item_stats: decayed counts per item over all users; no user id",
    "item_neighbors: weights between items over all users; no user id",
    "popular_items: items by decayed counts over all users; no user id",
    "models and releases: parameters trained on many users; no user id",
)


@dataclass(frozen=True, kw_only=True)
class Erased:
    """One store of a receipt."""

    name: str
    place: str
    removed: Mapping[str, int]
    """Number of removed rows or entries, by kind."""
    num_files_scanned: int
    num_bytes_scanned: int
    found: tuple[str, ...]
    """Files that still hold the id's bytes, relative to the place."""
    unread: tuple[str, ...]
    """Files that could not be read, relative to the place; it is not known whether they hold the id."""
    found_of_used_again: tuple[str, ...] = ()
    """Files that hold only ids that were used again after the request, which may be why. They are not in `found`."""
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Erasure:
    """What became of all stores."""

    stores: tuple[Erased, ...]
    used_again: frozenset[str]
    """Keys that were used again after the request, where files were found that hold them."""


@dataclass(frozen=True, kw_only=True)
class Stores:
    """Where a deployment keeps data about users, apart from the online store."""

    log: EventLog
    overlay: Overlay
    keep_s: float
    """See EventLog.tend."""
    folders: Mapping[str, Path]
    """Folders to search, by name: event_log, feature_repo and others."""
    parquet: Collection[str]
    """Names of the folders from which Parquet rows are removed by their column of users."""
    buckets: Mapping[str, Objects] = field(default_factory=dict)
    """What is in no folder of this machine, and searched as well."""


def num_rows_of(log: EventLog, keys: Collection[str]) -> tuple[int, int]:
    """(events, served lists) that the log has of these profile keys, as readers see it."""
    wanted = pa.array(sorted(keys))
    events = sum(
        pc.sum(pc.is_in(table["user_key"], value_set=wanted)).as_py() or 0 for table in log.scan(columns=["user_key"])
    )
    lists = sum(pc.sum(pc.is_in(table["user_key"], value_set=wanted)).as_py() or 0 for table in log.scan_served())
    return events, lists


def erase(
    gone: Mapping[str, float],
    *,
    missed: Collection[str],
    had: Mapping[str, int],
    stores: Stores,
    used_since: Callable[[], Collection[str]],
    pending: Objects,
) -> Erasure:
    """Remove what the stream does not, then search all files.

    Args:
        gone: Profile keys that are in the registry of forgotten users, with the instant up to which they are forgotten.
        missed: Profile keys that are not, though they should be; files are searched for them, too.
        had: Rows that were there before, by kind: log_rows, served_lists, profiles.
        used_since: Those of the keys that somebody uses again, as of the call. They keep what was known later than
            their instant.
        pending: Requests, which name keys for other runs; they are not searched.
    """
    stores.log.tend(keep_s=stores.keep_s)
    again = {key: gone[key] for key in used_since()}
    places: dict[str, Path | Objects] = {**stores.folders, **stores.buckets}
    removed: dict[str, dict[str, int]] = {name: {} for name in places}
    unread: dict[str, tuple[str, ...]] = {}
    removed["event_log"] = {name: had.get(name, 0) for name in ("log_rows", "served_lists")}
    removed["feature_repo"] = {
        "profiles": had.get("profiles", 0),
        "overlay_entries": sum(stores.overlay.forget(key, known_up_to_s=until_s) for key, until_s in gone.items()),
    }
    for name in stores.parquet:
        rows = remove_from_parquet(stores.folders[name], gone, known_up_to_s=again)
        removed[name]["parquet_rows"], unread[name] = rows.num_rows, rows.unread
    keys = [*gone, *missed]
    found = {name: _searched(place, keys, pending) for name, place in places.items()}
    # Asked for once more: what came during the search is in the files, too.
    since = frozenset(used_since()) if any(scan.found for scan, _ in found.values()) else frozenset()
    erased = []
    for name, (scan, note) in found.items():
        still = scan.found
        if since and still:
            others = [key for key in keys if key not in since]
            still = _searched(places[name], others, pending)[0].found
        erased.append(
            Erased(
                name=name,
                place=str(place) if isinstance(place := places[name], Path) else place.place(),
                removed=dict(removed[name]),
                num_files_scanned=scan.num_files,
                num_bytes_scanned=scan.num_bytes,
                found=still,
                unread=tuple(dict.fromkeys((*scan.unread, *unread.get(name, ())))),
                found_of_used_again=tuple(path for path in scan.found if path not in still),
                note=note,
            )
        )
    return Erasure(stores=tuple(erased), used_again=since)


def _searched(place: Path | Objects, keys: Collection[str], pending: Objects) -> tuple[Scan, str]:
    """What a search found, and a note about databases that were written anew because of it."""
    if not isinstance(place, Path):
        return scan_objects(place, keys, leave_out=FOLDER), ""
    leave_out = [Path(pending.place(entry.name)) for entry in pending.entries()] if pending.keeps_out else []
    scan = scan_folder(place, keys, leave_out=leave_out)
    if not scan.found or not (done := vacuum_databases(place, scan.found)):
        return scan, ""
    return scan_folder(place, keys, leave_out=leave_out), f"written anew: {', '.join(done)}"


def offline_folder(feature_repo: Path) -> Path:
    """Folder of Feast's offline rows."""
    return feature_repo / "offline"


def retention_document(topic: str, config: Callable[[str], str], *, forgotten_s: float) -> dict[str, Any]:
    """How long a topic's own segments may still hold the id's bytes.

    Args:
        config: Value of a topic's setting by name.
        forgotten_s: Ingest time of the request; the user's records are older.
    """
    retention_ms, segment_ms = int(config("retention.ms")), int(config("segment.ms"))
    until_s = forgotten_s + (retention_ms + segment_ms) / 1_000 if retention_ms >= 0 else None
    return {
        "topic": topic,
        "retention_ms": retention_ms,
        "segment_ms": segment_ms,
        "bytes_may_stand_until_s": until_s,
        "note": "" if until_s else f"kept for ever; set retention.ms of {topic} so that Kafka deletes its segments",
    }
