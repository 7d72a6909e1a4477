"""What writing profiles costs: below Feast (what the stream does), Feast's provider, Feast's public write path.

    python -m tests.benchmarks.stream_feast --config mmrec.toml --num-rows 3000               prints JSON

The same profiles, packed before, go into a store of their own of the kind that the deployment has.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from feature_repo.apply import apply_repository
from mmrec.config import Settings
from mmrec.features.clear import clear_texts
from mmrec.features.schema import PROFILE_VIEWS
from mmrec.scoring.packing import pack
from mmrec.wiring import open_feature_store, settings_from
from tests.benchmarks.repeated import median_seconds


def measure(settings: Settings, *, num_rows: int) -> dict[str, float]:
    """Rows per second of each way, the median of ROUNDS; every round replaces the same rows."""
    from feast import FeatureStore
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value

    source = open_feature_store(settings)
    profiles = source.read_profiles(list(islice(source.user_keys(), num_rows)))
    packed = {key: pack(profile) for key, profile in profiles.items()}
    clear = dict(zip(profiles, clear_texts(list(profiles.values()), config=settings.scoring), strict=True))
    rows = {key: {"packed": value, "clear": clear[key]} for key, value in packed.items()}
    generation = source.live_generation()
    view = PROFILE_VIEWS[generation]
    with _own_store(settings) as own:
        store, public = open_feature_store(own), FeatureStore(repo_path=own.stores.feature_repo)
        provider, feature_view = public.provider, public.get_feature_view(view.name)
        frame = pd.DataFrame(
            {
                view.join_key: list(packed),
                "packed": list(packed.values()),
                "clear": [clear[key] for key in packed],
                "event_timestamp": datetime.now(UTC),
                "created_timestamp": datetime.now(UTC),
            }
        )

        def by_provider() -> None:
            instant = datetime.now(UTC)
            data = [
                (
                    EntityKey(join_keys=[view.join_key], entity_values=[Value(string_val=key)]),
                    {"packed": Value(bytes_val=value), "clear": Value(string_val=clear[key])},
                    instant,
                    None,
                )
                for key, value in packed.items()
            ]
            provider.online_write_batch(public.config, feature_view, data, progress=None)

        ways: dict[str, Callable[[], Any]] = {
            "store_adapter": lambda: store._write_packed(generation, rows, time.time()),
            "feast_provider": by_provider,
            "feast_public": lambda: public.write_to_online_store(view.name, frame),
        }
        return {
            **{f"{name}_rows_per_s": round(len(packed) / median_seconds(write), 0) for name, write in ways.items()},
            "num_rows": len(packed),
            "bytes_per_row": round(sum(len(value) for value in packed.values()) / len(packed), 0),
        }


@contextmanager
def _own_store(settings: Settings) -> Iterator[Settings]:
    with TemporaryDirectory(prefix="mmrec-feast-") as folder:
        own = replace(settings, stores=replace(settings.stores, feature_repo=str(Path(folder) / "repository")))
        if own.stores.online_store == "redis":  # the same server, another database
            own = replace(own, stores=replace(own.stores, redis_connection=f"{own.stores.redis_connection},db=1"))
        apply_repository(own.stores, own.scoring.decay_per_day)
        yield own


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", required=True)
    parser.add_argument("--num-rows", type=int, default=3_000)
    arguments = parser.parse_args()
    print(json.dumps(measure(settings_from(arguments.config), num_rows=arguments.num_rows)))


if __name__ == "__main__":
    main()
