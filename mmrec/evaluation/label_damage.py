"""Tasks whose training labels are fewer, or partly wrong: what S2's claims of robustness are measured by.

    with_share_of_labels(task, share=0.5, seed=1)     half of the events that a fit may see
    with_flipped_labels(task, share=0.2, seed=1)      a fifth of them on another item, drawn evenly

Only what is learned from changes: what is asked, and the histories that are shown with it, stay as they are. With one
seed a smaller share is part of a larger one, so that a curve over shares is one story.
"""

from dataclasses import replace

import numpy as np

from mmrec.errors import InvalidRequestError
from mmrec.evaluation.interactions import FloatArray
from mmrec.evaluation.task import Task


def with_share_of_labels(task: Task, *, share: float, seed: int) -> Task:
    """The same task, learned from a share of its events.

    Args:
        share: Above 0 to 1; of the events that a refit sees.
        seed: Of the draw.

    Raises:
        InvalidRequestError: the share is out of range.
    """
    if not 0 < share <= 1:
        raise InvalidRequestError(f"a share of labels of {share}; give a number above 0, up to 1")
    kept_E = _order(task, seed) < share
    name = f"{task.name}, {share:g} of labels"
    return replace(task, name=name, fit_E=task.fit_E & kept_E, refit_E=task.refit_E & kept_E)


def with_flipped_labels(task: Task, *, share: float, seed: int) -> Task:
    """The same task, with a share of what is learned from moved to another item of the catalogue, each as likely.

    Users, behaviors and times stay, so no user is more or less active than before.

    Args:
        share: From 0 to 1; of the events that a refit sees.
        seed: Of the draws.

    Raises:
        InvalidRequestError: the share is out of range, or there is no other item.
    """
    if not 0 <= share <= 1:
        raise InvalidRequestError(f"a share of wrong labels of {share}; give a number from 0 to 1")
    if task.data.num_items < 2:
        raise InvalidRequestError("a catalogue of one item; labels can be wrong from 2 items on")
    wrong_E = task.refit_E & (_order(task, seed) < share)
    generator = np.random.default_rng([seed, 1])
    # A step of 1 to I - 1 from the right item: never the right one, and every other one as likely. Drawn for all
    # events, so that a label that is wrong at two shares is wrong in the same way.
    steps_E = generator.integers(1, task.data.num_items, len(task.data))
    items_E = np.where(wrong_E, (task.data.items_E + steps_E) % task.data.num_items, task.data.items_E)
    return replace(task, name=f"{task.name}, {share:g} of labels wrong", data=replace(task.data, items_E=items_E))


def _order(task: Task, seed: int) -> FloatArray:
    """A number in [0, 1) per event: ascending, the order in which events are drawn.

    Those that a refit sees are spread evenly, so that a share of them is that share to the event.
    """
    order_E = np.ones(len(task.data))
    seen = np.flatnonzero(task.refit_E)
    order_E[seen] = np.random.default_rng(seed).permutation(len(seen)) / max(len(seen), 1)
    return order_E
