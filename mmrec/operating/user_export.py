"""`mmrec profile USER --export FILE`: everything that is kept about a user, as one JSON document."""

import base64
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from mmrec.collecting.overlay import Overlay
from mmrec.config import Settings
from mmrec.events.log import EventLog
from mmrec.features.ports import ProfileReader
from mmrec.forgetting.keys import KnownLogins
from mmrec.forgetting.removal import offline_folder
from mmrec.forgetting.user_bytes import rows_of_users
from mmrec.operating.profile_document import profile_document


def export_document(
    settings: Settings, user_key: str, *, store: ProfileReader, log: EventLog, overlay: Overlay, as_of_s: float
) -> dict[str, Any]:
    """What `mmrec forget` would remove: profiles (merged ones too), log rows, served lists, overlay, offline rows."""
    keys = KnownLogins(store, log).keys_of(user_key)
    repository = Path(settings.stores.feature_repo)
    return {
        "user_keys": keys,
        "profiles": [
            {
                **profile_document(key, profile, config=settings.scoring, as_of_s=as_of_s),
                "merged_from": list(profile.merged_from),
                "merged_into": profile.merged_into,
            }
            for key, profile in store.read_profiles(keys).items()
        ],
        "events": list(_rows(log.scan(), keys)),
        "served_lists": list(_rows(log.scan_served(), keys)),
        "not_yet_in_the_profile": [
            {**entry._asdict(), "source": asdict(entry.source)}
            for entries in overlay.read(keys).values()
            for entry in entries
        ],
        "offline_rows": [
            {"file": str(path.relative_to(repository)), **_plain(row)}
            for path, table in rows_of_users(offline_folder(repository), keys)
            for row in table.to_pylist()
        ],
    }


def _rows(tables: Iterator[pa.Table], keys: list[str]) -> Iterator[dict[str, Any]]:
    wanted = pa.array(keys)
    for table in tables:
        yield from table.filter(pc.is_in(table["user_key"], value_set=wanted)).to_pylist()


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {name: base64.b64encode(v).decode() if isinstance(v, bytes) else v for name, v in row.items()}
