"""Removes what the stream does not: rows of the log and offline rows; then searches every file.

stores = erase(keys, had=..., stores=..., pending=...)      what was removed, found, and could not be read
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from mmrec.collecting.overlay import Overlay
from mmrec.events.log import EventLog
from mmrec.forgetting.user_bytes import remove_from_parquet, scan_folder, vacuum_databases

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
    note: str = ""


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


def num_rows_of(log: EventLog, keys: Collection[str]) -> tuple[int, int]:
    """(events, served lists) that the log has of these profile keys, as readers see it."""
    wanted = pa.array(sorted(keys))
    events = sum(
        pc.sum(pc.is_in(table["user_key"], value_set=wanted)).as_py() or 0 for table in log.scan(columns=["user_key"])
    )
    lists = sum(pc.sum(pc.is_in(table["user_key"], value_set=wanted)).as_py() or 0 for table in log.scan_served())
    return events, lists


def erase(keys: Collection[str], *, had: Mapping[str, int], stores: Stores, pending: Path) -> list[Erased]:
    """Remove what the stream does not, then search all files.

    Args:
        keys: Profile keys that are in the registry of forgotten users.
        had: Rows that were there before, by kind: log_rows, served_lists, profiles.
        pending: The file that names the keys for another run; it is not searched.
    """
    stores.log.tend(keep_s=stores.keep_s)
    removed: dict[str, dict[str, int]] = {name: {} for name in stores.folders}
    unread: dict[str, tuple[str, ...]] = {}
    removed["event_log"] = {name: had.get(name, 0) for name in ("log_rows", "served_lists")}
    removed["feature_repo"] = {
        "profiles": had.get("profiles", 0),
        "overlay_entries": sum(stores.overlay.forget(key) for key in keys),
    }
    for name in stores.parquet:
        rows = remove_from_parquet(stores.folders[name], keys)
        removed[name]["parquet_rows"], unread[name] = rows.num_rows, rows.unread
    return [
        _searched(name, folder, keys, removed=removed[name], unread=unread.get(name, ()), pending=pending)
        for name, folder in stores.folders.items()
    ]


def offline_folder(feature_repo: Path) -> Path:
    """Folder of Feast's offline rows."""
    return feature_repo / "offline"


def _searched(
    name: str, folder: Path, keys: Collection[str], *, removed: Mapping[str, int], unread: Iterable[str], pending: Path
) -> Erased:
    scan = scan_folder(folder, keys, leave_out=pending)
    note = ""
    if scan.found and (done := vacuum_databases(folder, scan.found)):
        note = f"written anew: {', '.join(done)}"
        scan = scan_folder(folder, keys, leave_out=pending)
    return Erased(
        name=name,
        place=str(folder),
        removed=dict(removed),
        num_files_scanned=scan.num_files,
        num_bytes_scanned=scan.num_bytes,
        found=scan.found,
        unread=tuple(dict.fromkeys((*scan.unread, *unread))),
        note=note,
    )


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
