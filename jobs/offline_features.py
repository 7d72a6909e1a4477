"""Feature rows as they were known just before given instants, through Feast's offline store.

    python -m jobs.offline_features --config mmrec.toml --asked asked.parquet --out features.parquet

`asked` has columns user_key, item_id, time_s (epoch seconds). Rows for those instants are made from the event log, put
into the offline store (feature_repo/offline), joined by Feast, and assembled by the function that serving uses; signals
of towers and neighbors are not known here. The result has the asked columns and one column per feature.
"""

import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mmrec.errors import InvalidRequestError
from mmrec.features.assemble import feature_names
from mmrec.features.schema import ITEM_STATS, USER_PROFILE
from mmrec.programs.shell import exit_status, shell_parser
from mmrec.telemetry.logs import configure_logging, get_logger
from mmrec.training.event_columns import EVENT_COLUMNS
from mmrec.training.offline_rows import Asked, assemble_asked, offline_rows
from mmrec.wiring import open_event_log, open_feature_store, open_offline_store, settings_from

log = get_logger("jobs.offline_features")
ASKED_COLUMNS = ("user_key", "item_id", "time_s")


def run(config_file: str | None, asked_file: Path, out: Path) -> int:
    """Make rows, join, assemble, write; returns the number of questions."""
    settings = settings_from(config_file)
    table = pq.read_table(asked_file)
    if missing := [name for name in ASKED_COLUMNS if name not in table.column_names]:
        raise InvalidRequestError(f"{asked_file} lacks {missing}; give the columns {', '.join(ASKED_COLUMNS)}")
    asked = Asked(
        user_keys=table["user_key"].to_pylist(),
        item_ids=table["item_id"].to_pylist(),
        times_s=table["time_s"].to_numpy().astype(np.float64),
    )
    events = open_event_log(settings).read(columns=EVENT_COLUMNS)
    log.info("log_read", num_events=events.num_rows, num_asked=len(asked))
    offline = open_offline_store(settings)
    offline.replace(offline_rows(events, asked, settings=settings, created_s=time.time()))
    profiles = offline.packed_as_of(USER_PROFILE, asked.user_keys, asked.timestamps)
    statistics = offline.packed_as_of(ITEM_STATS, asked.item_ids, asked.timestamps)
    log.info("rows_joined", num_asked=len(asked))
    item_ids = sorted({*asked.item_ids, *events["item_id"].unique().to_pylist()})
    entries = open_feature_store(settings).read_item_content(item_ids)
    rows_GF = assemble_asked(asked, profiles, statistics, entries, settings=settings)
    names = feature_names(settings.behaviors, num_half_lives=len(settings.statistics.half_lives_days))
    columns = {name: pa.array(rows_GF[:, column]) for column, name in enumerate(names)}
    pq.write_table(pa.table({**{name: table[name] for name in ASKED_COLUMNS}, **columns}), out)
    log.info("features_written", file=str(out), num_rows=len(asked), num_features=len(names))
    return len(asked)


def main() -> int:
    """Parse the command line and run."""
    parser = shell_parser(__doc__)
    parser.add_argument("--asked", type=Path, required=True, help="Parquet of user_key, item_id, time_s")
    parser.add_argument("--out", type=Path, required=True, help="Parquet file to write")
    arguments = parser.parse_args()
    configure_logging()

    def ask() -> None:
        run(arguments.config, arguments.asked, arguments.out)

    return exit_status(log, "offline_features", ask)


if __name__ == "__main__":
    sys.exit(main())
