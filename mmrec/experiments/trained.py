"""A model of the zoo fitted on a file of events, without a stack.

    trained = fit("events.parquet", model="popularity", items="items.parquet")
    trained.score("u1", ["i1", "i2"])                 {"i1": 0.7, "i2": 0.1}
    trained.recommend("u1", num_items=10)             best first, items the user had left out

Histories are those of the file, as of now: everything that a user did counts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmrec.errors import NotFoundError
from mmrec.evaluation.interactions import UNKNOWN, EventsByUser, Float32Array, Histories, Interactions
from mmrec.evaluation.model import Model
from mmrec.experiments.data_sets import read_files
from mmrec.zoo.registry import model_named


@dataclass(frozen=True, kw_only=True)
class Recommended:
    """One item of a list."""

    item_id: str
    score: float


class Trained:
    """A fitted model with the names of users and items."""

    def __init__(self, model: Model, data: Interactions) -> None:
        """The model has been fitted on the data."""
        self._model, self._data, self._events = model, data, EventsByUser(data)
        self._row_of_user = {each: row for row, each in enumerate(data.user_ids)}
        self._row_of_item = {each: row for row, each in enumerate(data.item_ids)}

    def score(self, user_id: str, item_ids: Sequence[str]) -> dict[str, float]:
        """Score of each item, higher is better.

        Args:
            user_id: A user who is not in the file has no history.
            item_ids: Items of the events or of the items' file.

        Raises:
            NotFoundError: an item is in neither.
        """
        unknown = [each for each in item_ids if each not in self._row_of_item]
        if unknown:
            raise NotFoundError(f"no item {unknown[0]!r} among the {self._data.num_items:,} of the files")
        scores_I, _ = self._scores(user_id)
        return {each: float(scores_I[self._row_of_item[each]]) for each in item_ids}

    def recommend(self, user_id: str, *, num_items: int = 10, with_seen: bool = False) -> list[Recommended]:
        """The items with the highest scores, best first.

        Args:
            user_id: A user who is not in the file gets what the model has for strangers.
            with_seen: Whether items of the user's history may be listed.
        """
        scores_I, histories = self._scores(user_id)
        order = np.argsort(-scores_I, kind="stable")
        if not with_seen:
            order = order[~np.isin(order, histories.items_H)]
        return [
            Recommended(item_id=self._data.item_ids[row], score=float(scores_I[row]))
            for row in order[:num_items].tolist()
        ]

    def _scores(self, user_id: str) -> tuple[Float32Array, Histories]:
        users_N = np.array([self._row_of_user.get(user_id, UNKNOWN)], dtype=np.int64)
        now = np.nextafter(self._data.end, np.inf)
        histories = self._events.histories(users_N=users_N, as_of_N=np.array([now]))
        return self._model.score(users_N, histories)[0], histories


def fit(
    events: str | Path,
    *,
    model: str = "popularity",
    items: str | Path | None = None,
    parameters: Mapping[str, Any] | None = None,
    columns: Mapping[str, str] | None = None,
    seed: int = 1,
) -> Trained:
    """Fit a model on everything in a file.

    Args:
        events: A table of user_id, item_id, and a time or position, with or without behaviors (event_table.py).
        model: Name in mmrec.zoo.registry.
        items: A table of items with attributes, texts or vectors (item_table.py).
        parameters: Options of the model by name; the others are its defaults.
        columns: Column by field, where names do not say it.

    Raises:
        NotFoundError: there is no such file or model.
        InvalidRequestError: a file cannot be read; says file, row, column and value.
        SettingError: an option is unknown, or its value is refused.
    """
    entry = model_named(model)
    made = entry.model(parameters)
    found = read_files(Path(events), Path(items) if items is not None else None, columns=columns)
    made.fit(found.data, found.items, seed=seed)
    return Trained(made, found.data)
