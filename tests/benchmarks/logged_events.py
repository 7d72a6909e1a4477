"""Events of a log as arrays, read by the importers, as `mmrec import` reads them.

    events = read_log(folder, behaviors=NAMES, max_users=1_500, seed=0)

The log `ecomm_tianchi_multibehavior` has days, not times of day: the importer puts an event at noon of its day, and
here a seed draws the order within a day.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mmrec.catalog.importers.mapping import ImportOptions
from mmrec.catalog.importers.reading import Reading
from mmrec.catalog.importers.registry import find_importer
from tests.public_data import public_data

DATA_SET = "ecomm_tianchi_multibehavior"
DAY_S = 86_400.0
NAMES = {"pv": "browse", "fav": "favorite", "cart": "cart", "buy": "purchase"}
"""Behaviors by their names in the log, in the order of axis B."""

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Events:
    """N events, users and items as numbers; in the order of time."""

    user_N: IndexArray
    item_N: IndexArray
    column_N: IndexArray
    """Position of the behavior among browse, favorite, cart, purchase."""
    time_N: FloatArray
    num_users: int
    num_items: int

    def __len__(self) -> int:
        return len(self.user_N)

    def between(self, start_s: float, stop_s: float) -> "Events":
        """Events with start_s <= time < stop_s."""
        kept_N = (self.time_N >= start_s) & (self.time_N < stop_s)
        return Events(
            user_N=self.user_N[kept_N],
            item_N=self.item_N[kept_N],
            column_N=self.column_N[kept_N],
            time_N=self.time_N[kept_N],
            num_users=self.num_users,
            num_items=self.num_items,
        )

    def table(self, names: tuple[str, ...]) -> pa.Table:
        """The columns that recall/neighbors.py reads."""
        return pa.table(
            {
                "user_key": [f"u{user}" for user in self.user_N.tolist()],
                "item_id": [item_id(item) for item in self.item_N.tolist()],
                "behavior": np.array(names, dtype=object)[self.column_N],
                "event_time_s": self.time_N,
            }
        )


def item_id(number: int) -> str:
    """Id of an item whose order is that of its number."""
    return f"i{number:07d}"


def data_folder() -> Path | None:
    """Folder of the data set, or None where it is not there; see public_data()."""
    folder = public_data() / DATA_SET
    return folder if (folder / "events.parquet").is_file() else None


def read_log(path: Path, *, behaviors: Mapping[str, str] = NAMES, max_users: int, seed: int) -> Events:
    """All events of at most `max_users` users, drawn with `seed`; users and items are numbered in the order of ids.

    Args:
        path: Any source of events that an importer reads.
        behaviors: Those that are read, by their names in the log.
    """
    source = find_importer(path).open(path, ImportOptions(kind="events"))
    assert source.events is not None, path
    columns = {name: column for column, name in enumerate(behaviors)}
    read = [event for event in source.events.read(Reading()) if event.behavior in columns]
    rng = np.random.default_rng(seed)
    user_N, num_users = _numbered([event.user_id for event in read])
    item_N, num_items = _numbered([event.item_id for event in read])
    column_N = np.array([columns[event.behavior] for event in read])
    time_N = np.array([event.time_s for event in read], dtype=np.float64)
    taken = rng.permutation(num_users)[:max_users]
    kept_N = np.flatnonzero(np.isin(user_N, taken))
    order = kept_N[np.lexsort((rng.random(len(kept_N)), time_N[kept_N]))]
    return Events(
        user_N=user_N[order],
        item_N=item_N[order],
        column_N=column_N[order],
        time_N=time_N[order],
        num_users=num_users,
        num_items=num_items,
    )


def _numbered(ids: list[str]) -> tuple[IndexArray, int]:
    """(number of each id, how many there are); ids that are numbers are in the order of numbers."""
    number = {each: at for at, each in enumerate(sorted(set(ids), key=lambda each: (len(each), each)))}
    return np.array([number[each] for each in ids], dtype=np.int64), len(number)
