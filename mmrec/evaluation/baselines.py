"""Simple baselines that every figure stands beside: decayed popularity, exact and streaming (METHODS M36)."""

from collections.abc import Collection, Sequence

import numpy as np

from mmrec.scoring.decay import decay


class DecayedPopularity:
    """Counts of events per item, decayed; the list at an instant is the items with the highest counts.

    All items decay at one rate, so their order between events does not depend on the instant: counts are kept as of a
    common reference time that moves forward, which makes an update one addition.
    """

    def __init__(self, *, decay_per_day: float) -> None:
        self._decay_per_day = decay_per_day
        self._rows: dict[str, int] = {}
        self._item_ids: list[str] = []
        self._counts = np.zeros(1024)
        self._reference_s: float | None = None

    def add(self, item_id: str, *, event_time_s: float, weight: float = 1.0) -> None:
        """Count one event; events may come in any order."""
        if self._reference_s is None:
            self._reference_s = event_time_s
        # Forward decay: an event counts exp(rate * (t - reference)). Rebase before the exponent grows large.
        grown = 1.0 / float(decay(event_time_s - self._reference_s, decay_per_day=self._decay_per_day))
        if grown > 1e9:
            self._counts *= decay(event_time_s - self._reference_s, decay_per_day=self._decay_per_day)
            self._reference_s, grown = event_time_s, 1.0
        row = self._rows.get(item_id)
        if row is None:
            row = self._rows[item_id] = len(self._item_ids)
            self._item_ids.append(item_id)
            if row == len(self._counts):
                self._counts = np.concatenate([self._counts, np.zeros(len(self._counts))])
        self._counts[row] += weight * grown

    def top(self, num_items: int, *, excluded: Collection[str] = ()) -> list[str]:
        """The most popular items that are not excluded, best first; ties in the order of first appearance."""
        known = len(self._item_ids)
        wanted = min(known, num_items + len(excluded))
        if wanted <= 0:
            return []
        counts = self._counts[:known]
        head = np.argpartition(-counts, wanted - 1)[:wanted] if wanted < known else np.arange(known)
        ordered: Sequence[int] = head[np.lexsort((head, -counts[head]))].tolist()
        hidden = excluded if isinstance(excluded, set | frozenset | dict) else set(excluded)
        return [self._item_ids[row] for row in ordered if self._item_ids[row] not in hidden][:num_items]
