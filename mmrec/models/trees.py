"""The boosted ranker: feature rows -> one score, by trees that LambdaMART fitted (METHODS M25, strong).

    s      = sum over trees of the leaf that the row falls into
    score  = log( g * sigmoid(a s + b) )                g: mean weight of what followed;  a > 0

sigmoid(a s + b) is the chance that anything follows (Platt scaling: Platt, 1999), so that the score is the log of the
expected utility, as the network's is (mmrec.models.ranker), and keeps the order of s. A folder holds the trees as the
text that LightGBM writes, which nothing unpickles. Axes: N rows, F features.
"""

from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from mmrec.errors import IncompatibleStateError
from mmrec.wire.declared import Positive, check

FILE: Final = "ranker.lightgbm.txt"


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """How a sum of leaves becomes a log utility."""

    slope: Positive
    """a."""
    intercept: float
    """b."""
    mean_gain: Positive
    """g, in weight units."""

    def __post_init__(self) -> None:
        check(self, "calibration")


@dataclass(frozen=True, kw_only=True, eq=False)
class TreeRanker:
    """Trees and their calibration."""

    text: str
    """As LightGBM writes and reads them."""
    calibration: Calibration

    @cached_property
    def _trees(self) -> Any:
        import lightgbm  # takes a second, and is needed only where trees rank

        try:
            return lightgbm.Booster(model_str=self.text)
        except lightgbm.basic.LightGBMError as error:
            raise IncompatibleStateError(f"{FILE} holds no trees: {error}; train and publish again") from None

    @property
    def num_features(self) -> int:
        """F of the rows that it was fitted on."""
        return int(self._trees.num_feature())

    def leaves(self, rows_NF: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """S of each row, shape (N,); one thread, since requests share the processor."""
        if not len(rows_NF):
            return np.zeros(0)
        found: npt.NDArray[np.float64] = self._trees.predict(rows_NF, raw_score=True, num_threads=1)
        return found

    def __call__(self, rows_NF: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Log utilities, shape (N,), higher is better."""
        calibration = self.calibration
        logits_N = calibration.slope * self.leaves(rows_NF) + calibration.intercept
        # log sigmoid(z) = min(z, 0) - log(1 + exp(-|z|)): keeps both ends.
        scores_N: npt.NDArray[np.float64] = (
            np.log(calibration.mean_gain) + np.minimum(logits_N, 0.0) - np.log1p(np.exp(-np.abs(logits_N)))
        )
        return scores_N

    def save(self, folder: Path) -> dict[str, float]:
        """Write the trees; returns what load() needs beside them."""
        (folder / FILE).write_text(self.text, encoding="utf-8")
        return asdict(self.calibration)

    @classmethod
    def load(cls, folder: Path, calibration: dict[str, float], *, num_features: int) -> "TreeRanker":
        """What save() wrote.

        Raises:
            IncompatibleStateError: the text holds no trees, or trees of another number of features.
            OSError: the file cannot be read.
            SettingError: the calibration lacks a number, or has one out of range.
        """
        text = (folder / FILE).read_text(encoding="utf-8")
        if not text.startswith("tree\n"):
            raise IncompatibleStateError(f"{FILE} does not begin as LightGBM's text does; train and publish again")
        found = cls(text=text, calibration=Calibration(**calibration))
        if found.num_features != num_features:
            raise IncompatibleStateError(
                f"{FILE} ranks rows of {found.num_features} features, the model has {num_features}; train it again"
            )
        return found
