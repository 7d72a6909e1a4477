"""Data sets by name: those of MMREC_DATA_DIR, through the importers' readers, and the simulator.

    found = read_data_set("amazon_beauty_sequences", data_folder="...")
    found.data, found.items, found.target_behaviors

`s3` is the simulator in the numbers in which S3 describes its data: 20,000 users, 10,000 items, 200,000 events (density
.1 %), 60 % browse, 15 % favorite, 15 % cart, 10 % purchase.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Literal

import numpy as np

from mmrec.catalog.importers.fields import ITEM_FIELDS
from mmrec.catalog.importers.mapping import ImportOptions
from mmrec.catalog.importers.movielens import MOVIELENS
from mmrec.catalog.importers.reading import Reading
from mmrec.catalog.importers.table import open_table
from mmrec.errors import InvalidRequestError, MachineError, NotFoundError
from mmrec.evaluation.interactions import FloatArray, IntArray, Interactions, ItemFeatures
from mmrec.evaluation.regret import Preferences
from mmrec.evaluation.task import SeenPolicy
from mmrec.experiments.event_table import FIELDS, EventList, read_events
from mmrec.experiments.item_table import USUAL_ENCODERS, features_of, read_items
from mmrec.scoring.behaviors import media_behaviors, shop_behaviors
from mmrec.simulator.oracle import Oracle
from mmrec.simulator.settings import BEHAVIORS, StorefrontConfig
from mmrec.simulator.storefront import Storefront

Encoders = Mapping[str, str]
SHOP_NAMES: Final = {"pv": "browse", "fav": "favorite", "buy": "purchase"}
"""Our name of a behavior by that of Taobao's and Tianchi's logs."""
GRADES: Final = {
    behavior.name: behavior.weight for behaviors in (shop_behaviors(), media_behaviors()) for behavior in behaviors
}
"""Grade of a positive by its behavior: its usual weight (METHODS M1)."""
S3_EVENTS: Final = 200_000
S3_STOREFRONT: Final = StorefrontConfig(
    seed=7,
    num_users=20_000,
    num_items=10_000,
    days=60.0,
    events_per_user_day=S3_EVENTS * 1.25 / (20_000 * 60.0),  # a quarter more than is kept: few people at the start
    share_bots=0.0,
    share_duplicates=0.0,
)


@dataclass(frozen=True, kw_only=True, eq=False)
class DataSet:
    """Events and content, and what is usually asked of them."""

    name: str
    data: Interactions
    items: ItemFeatures
    target_behaviors: tuple[str, ...] = ()
    """Events that are judged; empty judges all."""
    grades: Mapping[str, float] = field(default_factory=lambda: GRADES)
    seen: SeenPolicy | Literal[""] = ""
    """Which items its figures usually count; empty decides by what was judged."""
    truth: Preferences | None = None
    """What users really prefer, where that is known: regret is measured by it, and nothing else reads it."""


def read_files(
    events: Path,
    items: Path | None,
    *,
    columns: Mapping[str, str] | None = None,
    encoders: Encoders = USUAL_ENCODERS,
    target_behaviors: tuple[str, ...] = (),
) -> DataSet:
    """A file of events and one of items; errors as read_events() and read_items()."""
    of_events, of_items = _shared(columns or {}, events, items)
    table = read_items(items, columns=of_items) if items is not None else None
    ids = [item.item_id for item in table.items] if table is not None else []
    data = read_events(events, columns=of_events, behaviors=SHOP_NAMES, items=ids)
    return DataSet(
        name=events.name.partition(".")[0],
        data=data,
        items=features_of(
            data.item_ids,
            table.items if table is not None else (),
            vectors=table.vectors if table is not None else {},
            encoders=encoders,
        ),
        target_behaviors=target_behaviors,
    )


def read_data_set(name: str, *, data_folder: str, encoders: Encoders = USUAL_ENCODERS) -> DataSet:
    """The data set of that name.

    Args:
        data_folder: That of MMREC_DATA_DIR; the simulator needs none.

    Raises:
        NotFoundError: there is no such data set.
        MachineError: it is not in `data_folder`.
    """
    read = DATA_SETS.get(name)
    if read is None:
        raise NotFoundError(f"no data set {name!r}; there are {', '.join(DATA_SETS)}")
    folder = Path(data_folder or ".").expanduser() / name
    if name != S3 and not (data_folder and folder.is_dir()):
        raise MachineError(f"no folder {name} in MMREC_DATA_DIR ({data_folder or 'not set'}); set it to where it is")
    return read(folder, encoders)


def _beauty(folder: Path, encoders: Encoders) -> DataSet:
    found = read_files(folder / "events.parquet", folder / "items.parquet", encoders=encoders)
    return replace(found, name=folder.name)


def _tianchi(folder: Path, encoders: Encoders) -> DataSet:
    found = read_files(folder / "events.parquet", folder / "items.parquet", encoders=encoders)
    return replace(found, name=folder.name, target_behaviors=("purchase",), seen="any")


def _taobao(folder: Path, encoders: Encoders) -> DataSet:
    found = read_files(folder / "events.parquet", None, encoders=encoders)
    return replace(found, name=folder.name, target_behaviors=("purchase",), seen="any")


def _movielens(folder: Path, encoders: Encoders) -> DataSet:
    options = ImportOptions().with_usual(MOVIELENS.usual_behaviors)
    # Two files, not the folder: its tags are of any time, after the split as well, and would be text of the films.
    films, ratings = (MOVIELENS.open(folder / name, options) for name in ("movies.parquet", "ratings.parquet"))
    assert films.items is not None and ratings.events is not None, folder
    meant, events = options.rules.table, EventList()
    for event in ratings.events.read(Reading()):
        events.add(event.user_id, event.item_id, event.time_s or 0.0, meant.get(event.behavior, event.behavior))
    items = tuple(films.items.read(Reading()))
    data = events.interactions(items=[item.item_id for item in items])
    return DataSet(
        name=folder.name,
        data=data,
        items=features_of(data.item_ids, items, encoders=encoders),
        target_behaviors=("like",),
    )


def _simulated(folder: Path, encoders: Encoders) -> DataSet:
    del folder
    return simulated(S3_STOREFRONT, num_events=S3_EVENTS, encoders=encoders)


def simulated(config: StorefrontConfig, *, num_events: int, encoders: Encoders = USUAL_ENCODERS) -> DataSet:
    """The newest events of a simulated storefront, by the time they happened, each once."""
    world = Storefront(config)
    blocks = np.concatenate(
        list(world.traffic.window(config.start_ms, config.start_ms + round(config.days * 86_400_000)))
    )
    blocks = blocks[~blocks["is_duplicate"]]
    blocks = blocks[np.argsort(blocks["event_ms"], kind="stable")][-num_events:]
    data = Interactions.in_order(
        user_ids=world.user_ids,
        item_ids=world.item_ids,
        behavior_names=BEHAVIORS,
        users_E=blocks["user"],
        items_E=blocks["item"],
        times_E=blocks["event_ms"] / 1000.0,
        behaviors_E=blocks["behavior"],
    )
    items = tuple(world.catalog(with_images="image" in encoders))
    features = features_of(data.item_ids, items, encoders=encoders)
    return DataSet(name=S3, data=data, items=features, truth=OraclePreferences(world.oracle, data.user_ids))


class OraclePreferences:
    """What the simulator's users would look at first; see Preferences."""

    def __init__(self, oracle: Oracle, user_ids: Sequence[str]) -> None:
        """Rows of the data are those of `user_ids`; its items are in catalogue order."""
        self._oracle, self._user_ids = oracle, user_ids

    def of(self, users_N: IntArray, as_of_N: FloatArray) -> FloatArray:
        """Chance of each item to be a session's first look, float64, shape (N, I)."""
        rows: dict[int, FloatArray] = {}
        for target in np.argsort(as_of_N, kind="stable").tolist():  # by day, since a day is made once and kept a while
            user_id = self._user_ids[int(users_N[target])]
            rows[target] = self._oracle.preference(user_id, as_of_s=float(as_of_N[target]))
        return np.stack([rows[target] for target in range(len(users_N))])


def _shared(columns: Mapping[str, str], events: Path, items: Path | None) -> tuple[dict[str, str], dict[str, str]]:
    """Columns that are given, by the file that has them: one option serves both.

    Raises:
        InvalidRequestError: neither file has a column, or neither kind of row such a field.
    """
    found: list[dict[str, str]] = []
    for path, fields in ((events, FIELDS), (items, ITEM_FIELDS)):
        names = open_table(path).columns if path is not None else ()
        found.append({name: column for name, column in columns.items() if name in fields and column in names})
    for name, column in columns.items():
        if not any(name in each for each in found):
            raise InvalidRequestError(
                f"--column {name}={column}: no file has that column for a field of that name; fields are "
                f"{', '.join(dict.fromkeys([*FIELDS, *ITEM_FIELDS]))}"
            )
    return found[0], found[1]


S3: Final = "s3"
DATA_SETS: Final[Mapping[str, Callable[[Path, Encoders], DataSet]]] = {
    "amazon_beauty_sequences": _beauty,
    "ecomm_tianchi_multibehavior": _tianchi,
    "movielens_small_posters": _movielens,
    "taobao_userbehavior_cml": _taobao,
    S3: _simulated,
}
