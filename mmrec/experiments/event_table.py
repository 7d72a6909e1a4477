"""A file of events as Interactions: user, item, time or position, behavior where there is one.

    read = read_events(Path("E.parquet"))           .csv .tsv .jsonl .parquet, each also .gz or .zst

Columns are found by the names that `mmrec import` knows, or given. Times count where there are any, else positions:
whole places within each user's own order. A row without user or item, or with a time that cannot be read, is an error:
a figure on part of a file would be a figure on another file.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from mmrec.catalog.importers.cells import cell_text
from mmrec.catalog.importers.fields import EVENT_FIELDS, guessed_by_name
from mmrec.catalog.importers.instants import Clock, column_clock
from mmrec.catalog.importers.reading import Reading
from mmrec.catalog.importers.table import Table, open_table
from mmrec.errors import InvalidRequestError
from mmrec.evaluation.interactions import Interactions

FIELDS: Final = {
    **{name: EVENT_FIELDS[name] for name in ("user_id", "item_id", "behavior", "event_time")},
    "position": "position place order sequence seq step index",
}
"""Names of columns, as mmrec.catalog.importers.fields has them."""
ONLY_BEHAVIOR: Final = "event"
"""Of every row, where there is no column of behaviors."""


@dataclass(kw_only=True)
class EventList:
    """Events on their way to Interactions: ids as they come."""

    user_ids: list[str] = field(default_factory=list)
    item_ids: list[str] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    behaviors: list[str] = field(default_factory=list)

    def add(self, user_id: str, item_id: str, time: float, behavior: str) -> None:
        """One event."""
        self.user_ids.append(user_id)
        self.item_ids.append(item_id)
        self.times.append(time)
        self.behaviors.append(behavior)

    def interactions(self, *, items: Sequence[str] = (), has_positions: bool = False) -> Interactions:
        """All of them; users, items and behaviors in the order of ids, numbers as numbers.

        Args:
            items: Ids of the catalogue; items without events are among the candidates.
        """
        users, all_items = _in_order(self.user_ids), _in_order([*self.item_ids, *items])
        behaviors = _in_order(self.behaviors)
        row_of_user, row_of_item, row_of_behavior = (
            {each: row for row, each in enumerate(ids)} for ids in (users, all_items, behaviors)
        )
        return Interactions.in_order(
            user_ids=users,
            item_ids=all_items,
            behavior_names=behaviors,
            users_E=[row_of_user[each] for each in self.user_ids],
            items_E=[row_of_item[each] for each in self.item_ids],
            times_E=self.times,
            behaviors_E=[row_of_behavior[each] for each in self.behaviors],
            clock="positions" if has_positions else "seconds",
        )


def read_events(
    path: Path,
    *,
    columns: Mapping[str, str] | None = None,
    behaviors: Mapping[str, str] | None = None,
    items: Sequence[str] = (),
) -> Interactions:
    """The events of a file.

    Args:
        columns: Column by field, for those whose names do not say it.
        behaviors: Our name by the file's; others keep theirs.
        items: Ids of the catalogue.

    Raises:
        NotFoundError: there is no such file.
        InvalidRequestError: a column is missing, or a cell cannot be read; says the file, row, column and value.
    """
    table = open_table(path)
    found = named_columns(table, FIELDS, columns or {})
    for name in ("user_id", "item_id"):
        if name not in found:
            raise InvalidRequestError(_lacks(table, name))
    time_column = found.get("event_time") or found.get("position")
    if time_column is None:
        raise InvalidRequestError(_lacks(table, "event_time or position"))
    clock = None
    if "event_time" in found:
        clock = _clock(table, time_column)
    named, events = behaviors or {}, EventList()
    behavior_column = found.get("behavior")
    for number, cells in table.rows(Reading()):
        place = f"{path.name}, {table.row_word} {number}"
        user_id, item_id = (cell_text(cells.get(found[name])).strip() for name in ("user_id", "item_id"))
        for name, value in (("user_id", user_id), ("item_id", item_id)):
            if not value:
                raise InvalidRequestError(f"{place}: column {found[name]} is empty; give every event its {name}")
        behavior = cell_text(cells.get(behavior_column)).strip() if behavior_column else ONLY_BEHAVIOR
        if not behavior:
            raise InvalidRequestError(f"{place}: column {behavior_column} is empty; give every event its behavior")
        events.add(
            user_id, item_id, _time(cells.get(time_column), clock, place, time_column), named.get(behavior, behavior)
        )
    if not events.times:
        raise InvalidRequestError(f"{path} holds no event")
    return events.interactions(items=items, has_positions=clock is None)


def named_columns(table: Table, fields: dict[str, str], given: Mapping[str, str]) -> dict[str, str]:
    """Column by field: as given, else by its name.

    Raises:
        InvalidRequestError: a field is not known, or its column is not there.
    """
    for name, column in given.items():
        if name not in fields:
            raise InvalidRequestError(f"no field is called {name!r}; there are {', '.join(fields)}")
        if column not in table.columns:
            raise InvalidRequestError(f"{table.path.name} has no column {column!r}; it has {', '.join(table.columns)}")
    rest = tuple(name for name in table.columns if name not in given.values())
    return {**guessed_by_name(rest, {name: known for name, known in fields.items() if name not in given}), **given}


def _clock(table: Table, column: str) -> Clock:
    samples = [row.cells.get(column) for row in table.samples()]
    try:
        return column_clock(samples, column=column)
    except InvalidRequestError:
        shown = next((value for value in samples if value not in (None, "")), None)
        raise InvalidRequestError(
            f"{table.path.name}: column {column} holds numbers such as {shown}, which are times between 1980 and 2050 "
            f"in no unit; if they are places in each user's order, give --column position={column}, else another "
            "column with --column event_time=COLUMN"
        ) from None


def _time(value: Any, clock: Clock | None, place: str, column: str) -> float:
    if clock is not None:
        instant = clock.read(value)
        if instant is None:
            raise InvalidRequestError(f"{place}: column {column} is {value!r}; give a time")
        return instant.time_s
    try:
        position = float(value)
    except (TypeError, ValueError, OverflowError):
        position = math.nan
    if not math.isfinite(position):
        raise InvalidRequestError(f"{place}: column {column} is {value!r}; give a position, such as 0, 1, 2")
    return position


def _lacks(table: Table, what: str) -> str:
    return (
        f"{table.path} has no column of {what}; it has {', '.join(table.columns)}. Name it with --column "
        f"{what.split(maxsplit=1)[0]}=COLUMN"
    )


def _in_order(ids: Sequence[str]) -> tuple[str, ...]:
    return tuple(sorted(set(ids), key=lambda each: (len(each), each)))
