"""The port of models that are compared: fit on events and items, then score every item for targets.

fit() is called first and may be called again, which forgets what was learned before. It sees what a split lets it see
and nothing else; the newest of its events is where its decay clock stands. score() is called in batches, in any order,
and changes nothing. What a target's user did is in its history, whether fit() saw that user or not. Implementations are
in mmrec.zoo, and every one passes tests/contract/test_zoo.py.
"""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from mmrec.evaluation.interactions import Float32Array, Histories, IntArray, Interactions, ItemFeatures


class Model(Protocol):
    """One model with its parameters."""

    @property
    def name(self) -> str:
        """As in the registry."""

    def fit(self, data: Interactions, items: ItemFeatures, *, seed: int) -> None:
        """Learn; the same data and seed give the same bytes of scores.

        Args:
            data: Visible events; users and items without any are among its rows.
            items: Content, aligned with data.item_ids. Models that need none ignore it; one that needs a modality that
                is not there does without.
            seed: Of everything drawn.
        """

    def score(self, users_N: IntArray, histories: Histories) -> Float32Array:
        """Scores of every item, higher is better, all finite; shape (N, I).

        Args:
            users_N: Rows of data.user_ids, or UNKNOWN; fit() may have seen no event of them.
            histories: Of the same N targets; may be empty.
        """


@runtime_checkable
class Learner(Protocol):
    """A model that may also say how its last fit went; reports draw it."""

    @property
    def learning_curve(self) -> Sequence[tuple[float, float]]:
        """(step or epoch, loss), in order."""
