"""Labels with the newest events that were known strictly before them.

Per user, events enter a bounded list in known order; the list is kept by event time, as a profile keeps its newest
events. Late events thus enter when they were known, at the place where they belong.

Axes: E events, N labels, L history.
"""

from bisect import insort

import numpy as np
import numpy.typing as npt

from mmrec.training.event_columns import EventColumns, IntArray
from mmrec.training.example_config import ExampleConfig
from mmrec.training.examples import RetrievalExamples
from mmrec.training.known_before import num_known_before
from mmrec.training.labels import Labels


def retrieval_examples(
    events: EventColumns, labels: Labels, *, config: ExampleConfig, max_history: int
) -> tuple[RetrievalExamples, dict[str, int]]:
    """(examples in the order of label time, counts of what was dropped by reason).

    Args:
        max_history: Newest events before each label, as profiles keep them.
    """
    usable = np.flatnonzero(labels.in_time_E & labels.in_window_E)
    drawn = _drawn(usable, config.max_retrieval_labels, seed=config.seed)
    chosen = drawn[np.lexsort((events.rank_by_event_time_E[drawn], events.event_times_E[drawn]))]
    num_known_N = num_known_events(events, chosen)
    lengths_N, history = _histories(events, chosen, num_known_N, max_history)
    offsets = np.append(0, np.cumsum(lengths_N))
    label_times_N = events.event_times_E[chosen]
    read_times_N = label_times_N.copy()
    filled = lengths_N > 0
    # Oldest first: the last one of a history is its newest.
    newest_N = events.event_times_E[history[offsets[1:][filled] - 1]]
    read_times_N[filled] = np.maximum(label_times_N[filled], newest_N)
    ages = np.repeat(read_times_N, lengths_N) - events.event_times_E[history]
    examples = RetrievalExamples(
        item_ids=events.item_ids,
        history_offsets=offsets,
        history_rows_E=events.items_E[history].astype(np.int32),
        history_behavior_ids_E=events.behaviors.ids_B[events.behaviors_E[history]],
        history_ages_s_E=ages.astype(np.float32),
        label_rows_N=events.items_E[chosen].astype(np.int32),
        label_behavior_ids_N=events.behaviors.ids_B[events.behaviors_E[chosen]],
        label_times_N=label_times_N,
        label_weights_N=events.behaviors.weights_B[events.behaviors_E[chosen]],
        user_index_N=events.users_E[chosen].astype(np.int32),
        parts_N=labels.parts_E[chosen],
        hidden_N=labels.hidden_E[chosen],
    )
    return examples, {
        "before_the_window": int((~labels.in_window_E).sum()),
        "known_after_its_part": int((labels.in_window_E & ~labels.in_time_E).sum()),
        "not_drawn": len(usable) - len(drawn),
    }


def num_known_events(events: EventColumns, labels: npt.NDArray[np.integer]) -> IntArray:
    """How many events of the label's user were known strictly before each label, shape (N,)."""
    num_known_N = np.zeros(len(labels), dtype=np.int64)
    users_N = events.users_E[labels]
    for rows in _groups(users_N, np.argsort(users_N, kind="stable")):
        known_times = events.known_times_E[events.of_user(int(users_N[rows[0]]))]
        num_known_N[rows] = num_known_before(known_times, events.event_times_E[labels[rows]])
    return num_known_N


def _groups(users_N: IntArray, order: IntArray) -> list[IntArray]:
    """Positions of each user's labels; `order` brings equal users together."""
    return np.split(order, np.flatnonzero(np.diff(users_N[order])) + 1) if len(order) else []


def _drawn(rows: IntArray, max_rows: int, *, seed: int) -> IntArray:
    if not max_rows or len(rows) <= max_rows:
        return rows
    return np.sort(np.random.default_rng([seed, 1]).choice(rows, size=max_rows, replace=False))


def _histories(
    events: EventColumns, labels: IntArray, num_known_N: IntArray, max_history: int
) -> tuple[IntArray, IntArray]:
    """(lengths_N, events of all histories in the order of the labels, each oldest first)."""
    rank_E = events.rank_by_event_time_E
    event_at = np.empty(len(events), dtype=np.int64)
    event_at[rank_E] = np.arange(len(events))
    users_N = events.users_E[labels]
    by_user = np.lexsort((num_known_N, users_N))
    lengths_N = np.zeros(len(labels), dtype=np.int64)
    pieces: list[npt.NDArray[np.int32]] = []
    for rows in _groups(users_N, by_user):
        ranks = rank_E[events.of_user(int(users_N[rows[0]]))].tolist()
        newest: list[int] = []
        found: list[int] = []
        lengths: list[int] = []
        entered = 0
        for num_known in num_known_N[rows].tolist():
            for rank in ranks[entered:num_known]:
                if not newest or rank > newest[-1]:
                    newest.append(rank)
                else:
                    insort(newest, rank)
            entered = num_known
            del newest[:-max_history]
            found += newest
            lengths.append(len(newest))
        lengths_N[rows] = lengths
        pieces.append(np.array(found, dtype=np.int32))
    # Pieces stand by user; each label's history goes to its place in label order.
    together = np.concatenate(pieces) if pieces else np.zeros(0, dtype=np.int32)
    starts_by_user = np.append(0, np.cumsum(lengths_N[by_user]))[:-1]
    start_N = np.empty(len(labels), dtype=np.int64)
    start_N[by_user] = starts_by_user
    first_N = np.append(0, np.cumsum(lengths_N))[:-1]
    take = np.arange(int(lengths_N.sum())) + np.repeat(start_N - first_N, lengths_N)
    return lengths_N, event_at[together[take]]
