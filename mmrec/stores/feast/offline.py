"""Feast's offline store: Parquet rows in the repository's folder, and its point-in-time join over them.

    offline = FeastOfflineStore(settings.stores.feature_repo)
    offline.replace(rows)                        mmrec.training.offline_rows made them for the instants asked
    offline.packed_as_of(USER_PROFILE, asked.user_keys, asked.timestamps)      what get_historical_features gives

Rows are made anew from the event log whenever somebody asks, so each write replaces the last one: the folder holds the
rows of one question list, not a history.
"""

import shutil
import uuid
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from mmrec.errors import StoreError
from mmrec.features.schema import View

OFFLINE_FOLDER = "offline"
"""Folder of the rows, below the feature repository."""


class FeastOfflineStore:
    """The offline side of a feature repository."""

    def __init__(self, repo_folder: str) -> None:
        """Open an applied repository.

        Raises:
            StoreError: nothing was applied there.
        """
        from mmrec.stores.feast.engine import feast

        self._folder = Path(repo_folder)
        if not (self._folder / "feature_store.yaml").is_file():
            raise StoreError(f"no feature repository at {repo_folder}; run `python -m feature_repo.apply`")
        self._store = feast.FeatureStore(repo_path=repo_folder)

    def replace(self, rows: Mapping[str, pa.Table]) -> None:
        """Put rows in place of those that stand there, by view; a reader sees the old or the new ones."""
        for view, table in rows.items():
            folder = self._folder / OFFLINE_FOLDER / view
            fresh = folder.with_name(f".{view}-{uuid.uuid4().hex}")
            fresh.mkdir(parents=True)
            pq.write_table(table, fresh / "rows.parquet")
            if folder.exists():
                old = folder.with_name(f".{view}-{uuid.uuid4().hex}-old")
                folder.rename(old)
                fresh.rename(folder)
                shutil.rmtree(old)
            else:
                fresh.rename(folder)

    def packed_as_of(self, view: View, keys: Sequence[str], timestamps: pa.Array) -> list[bytes]:
        """get_historical_features() of (key, timestamp) for one view.

        Asked view by view: Feast's file store takes questions for the same user and instant, but other items, for one.

        Returns:
            The field `packed`, aligned with the questions.

        Raises:
            StoreError: a question meets no row; rows must have been made for it.
        """
        asked = pd.DataFrame({view.join_key: list(keys), "event_timestamp": pd.Series(timestamps.to_pandas())})
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Discarding nonzero nanoseconds")  # of Feast's own date range
            job = self._store.get_historical_features(
                entity_df=asked.drop_duplicates(), features=[f"{view.name}:packed"], full_feature_names=True
            )
            found = asked.merge(job.to_df(), how="left", on=[view.join_key, "event_timestamp"], validate="many_to_one")
        packed: list[bytes] = found[f"{view.name}__packed"].tolist()
        without = [key for key, value in zip(keys, packed, strict=True) if not isinstance(value, bytes)]
        if without:
            raise StoreError(
                f"{len(without)} questions of {view.name}, {without[0]!r} first, meet no row; make rows first"
            )
        return packed
