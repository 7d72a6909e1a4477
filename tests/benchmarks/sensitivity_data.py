"""Events of the `ecomm_tianchi_multibehavior` log, split by time, and where it lies.

The log has days, not times of day: an event stands at noon of its day, and the order within a day is drawn by a seed.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from tests.public_data import public_data

DATA_SET = "ecomm_tianchi_multibehavior"
DAY_S = 86_400.0
NAMES = {"pv": "browse", "fav": "favorite", "cart": "cart", "buy": "purchase"}

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


def read_events(folder: Path, *, max_users: int, seed: int) -> Events:
    """All events of at most `max_users` users, drawn with `seed`."""
    table = pq.read_table(folder / "events.parquet", columns=["user_id", "item_id", "behavior", "date"])
    rng = np.random.default_rng(seed)
    _, user_N = np.unique(np.array(table["user_id"].to_pylist()), return_inverse=True)
    _, item_N = np.unique(np.array(table["item_id"].to_pylist()), return_inverse=True)
    columns = {name: column for column, name in enumerate(NAMES)}
    column_N = np.array([columns[name] for name in table["behavior"].to_pylist()])
    days = np.array([str(day)[:10] for day in table["date"].to_pylist()], dtype="datetime64[D]")
    time_N = days.astype(np.int64) * DAY_S + DAY_S / 2
    num_users, num_items = int(user_N.max()) + 1, int(item_N.max()) + 1
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
