"""Everything about a user out of every store, once the stream has read the request.

    keys = keys_of(store, "ann")                    the user and the anonymous ids that were merged
    ... the request goes onto the topic of events ...
    wait_until_read(store, place, ...)              registry and profiles: the stream has done these
    erased = erase(keys, ...)                       log, lists, offline rows, overlay; then files are searched

What stays: item statistics, neighbors, popular items and models are sums over many users that hold no id. They lose the
user's share as they are built anew from the log.
"""

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from mmrec.collecting.overlay import Overlay
from mmrec.errors import DeadlineError
from mmrec.events.log import EventLog
from mmrec.features.stores import FeatureStore
from mmrec.forgetting.user_bytes import remove_from_parquet, scan_folder, vacuum_databases
from mmrec.scoring.source import Source

POLL_S: Final = 0.2
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
    """What went, by kind."""
    num_files_scanned: int
    num_bytes_scanned: int
    found: tuple[str, ...]
    """Files that still hold the id's bytes, relative to the place."""
    note: str = ""


def keys_of(store: FeatureStore, user_key: str) -> list[str]:
    """The profile keys that a request for `user_key` concerns, itself first."""
    profiles = store.read_profiles([user_key])
    users = [user_key, *(p.merged_into for p in profiles.values() if p.merged_into)]
    profiles |= store.read_profiles(users)
    return list(dict.fromkeys([*users, *(name for p in profiles.values() for name in p.merged_from)]))


def wait_until_read(
    store: FeatureStore,
    source: Source,
    offset: int,
    *,
    wait_s: float,
    sleep: Callable[[float], None] = time.sleep,
    timer: Callable[[], float] = time.monotonic,
) -> None:
    """Return once the stream has passed a record.

    Raises:
        DeadlineError: it has not within `wait_s`.
    """
    until_s = timer() + wait_s
    while True:
        progress = store.read_progress()
        if progress is not None and progress.marks.get(source, -1) >= offset:
            return
        if timer() >= until_s:
            raise DeadlineError(
                f"within {wait_s:g} s the stream has not read the request (partition {source.partition}, {offset});"
                " it stands in Kafka and will be obeyed; run `mmrec forget` again when the stream is up"
            )
        sleep(POLL_S)


def num_rows_of(log: EventLog, keys: Collection[str]) -> tuple[int, int]:
    """(events, served lists) that the log has of these profile keys, as readers see it."""
    wanted = pa.array(sorted(keys))
    events = sum(
        pc.sum(pc.is_in(table["user_key"], value_set=wanted)).as_py() or 0 for table in log.scan(columns=["user_key"])
    )
    lists = sum(pc.sum(pc.is_in(table["user_key"], value_set=wanted)).as_py() or 0 for table in log.scan_served())
    return events, lists


def erase(
    keys: Collection[str],
    *,
    had: Mapping[str, int],
    log: EventLog,
    keep_s: float,
    overlay: Overlay,
    folders: Mapping[str, Path],
    parquet: Collection[str],
) -> list[Erased]:
    """Remove what the stream leaves to others, then search all files.

    Args:
        keys: Profile keys that stand in the registry of forgotten users.
        had: Rows that were there before, by kind: log_rows, served_lists, profiles.
        keep_s: See EventLog.tend.
        folders: Folders of the deployment's stores by name: event_log, feature_repo and others.
        parquet: Names of those folders whose Parquet rows go by their column of users.
    """
    log.tend(keep_s=keep_s)
    removed: dict[str, dict[str, int]] = {name: {} for name in folders}
    removed["event_log"] = {name: had.get(name, 0) for name in ("log_rows", "served_lists")}
    removed["feature_repo"] = {
        "profiles": had.get("profiles", 0),
        "overlay_entries": sum(overlay.forget(key) for key in keys),
    }
    for name in parquet:
        removed[name]["parquet_rows"] = remove_from_parquet(folders[name], keys)
    return [_searched(name, folder, keys, removed[name]) for name, folder in folders.items()]


def offline_folder(feature_repo: Path) -> Path:
    """Folder of Feast's offline rows."""
    return feature_repo / "offline"


def _searched(name: str, folder: Path, keys: Collection[str], removed: Mapping[str, int]) -> Erased:
    scan = scan_folder(folder, keys)
    note = ""
    if scan.found and (done := vacuum_databases(folder, scan.found)):
        note = f"written anew: {', '.join(done)}"
        scan = scan_folder(folder, keys)
    return Erased(
        name=name,
        place=str(folder),
        removed=dict(removed),
        num_files_scanned=scan.num_files,
        num_bytes_scanned=scan.num_bytes,
        found=scan.found,
        note=note,
    )


def retention_document(topic: str, config: Callable[[str], str], *, forgotten_s: float) -> dict[str, Any]:
    """How long a topic's own segments may still hold the id's bytes.

    Args:
        config: Value of a topic's setting by name.
        forgotten_s: Ingest time of the request; records of the user stand before it.
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
