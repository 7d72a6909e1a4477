"""Fitting the boosted ranker: LambdaMART (Burges, MSR-TR-2010-82; LightGBM: Ke et al., NIPS 2017), METHODS M25.

    s  minimizes the LambdaRank loss over the lists, with gain w_b of the weightiest behavior that followed
    a, b  minimize  sum over candidates of  copies * cross-entropy of sigmoid(a s + b)  with whether anything followed

It learns from the very rows that the network learns from (mmrec.training.fit_ranker), and ends at its best round on the
same held-out lists. More neighbors and a higher cosine never take an item down: there the trees are monotone. The same
lists give the same trees, on any number of threads.

Axes: G lists, C candidates of a list, N candidates of all lists one after the other, F features.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

import numpy as np
import numpy.typing as npt
from msgspec import Meta
from scipy import optimize

from mmrec.models.trees import Calibration, TreeRanker
from mmrec.training.fit_ranker import ListTensors, held_out_split
from mmrec.wire.declared import AtLeastOne, NotNegative, Positive, check

FloatArray = npt.NDArray[np.float64]
RISING: Final = ("neighbor_score_log", "tower_similarity")
"""Features of which more is never worse."""
LEAST_SLOPE: Final = 1e-3


@dataclass(frozen=True, kw_only=True)
class TreesFitConfig:
    """How the trees are fit."""

    max_rounds: AtLeastOne = 300
    """Trees at the most."""
    patience: AtLeastOne = 30
    """Trees without gain in NDCG on the held-out lists after which fitting ends (METHODS M23)."""
    learning_rate: Positive = 0.05
    num_leaves: Annotated[int, Meta(ge=2)] = 15
    min_rows_in_leaf: AtLeastOne = 50
    feature_share: Annotated[float, Meta(gt=0, le=1)] = 0.7
    """Of the features, drawn for each tree."""
    l2: NotNegative = 5.0
    num_threads: AtLeastOne = 1
    seed: AtLeastOne = 1

    def __post_init__(self) -> None:
        check(self, "fit_trees")


def fit_trees(
    lists: ListTensors, *, feature_names: Sequence[str], config: TreesFitConfig, held_out: float
) -> TreeRanker:
    """Trees and their calibration.

    Args:
        lists: In order of time: the last `held_out` share of them decides when to stop.
        feature_names: Of axis F.
        held_out: As RankerFitConfig.held_out.
    """
    import lightgbm  # takes a second, and is needed only where trees are fitted

    train, judged = held_out_split(lists, held_out)
    gains = np.unique(lists.gains_GC[lists.valid_GC].numpy().astype(np.float64))
    parameters: dict[str, Any] = {
        "objective": "lambdarank",
        "metric": "ndcg",
        "eval_at": [10],
        "label_gain": gains.tolist(),
        "lambdarank_truncation_level": 20,
        "learning_rate": config.learning_rate,
        "num_leaves": config.num_leaves,
        "min_data_in_leaf": config.min_rows_in_leaf,
        "feature_fraction": config.feature_share,
        "lambda_l2": config.l2,
        "monotone_constraints": [int(name in RISING) for name in feature_names],
        "seed": config.seed,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": config.num_threads,
        "verbosity": -1,
    }
    learned = _dataset(train, gains, parameters)
    sets = [_dataset(judged, gains, parameters, reference=learned)] if len(judged) else []
    calls = [lightgbm.early_stopping(config.patience, verbose=False)] if len(judged) else []
    trees = lightgbm.train(parameters, learned, num_boost_round=config.max_rounds, valid_sets=sets, callbacks=calls)
    text = trees.model_to_string()  # through the best round, where there are held-out lists
    plain = TreeRanker(text=text, calibration=Calibration(slope=1.0, intercept=0.0, mean_gain=1.0))
    return TreeRanker(text=text, calibration=calibrated(plain, judged if len(judged) else train))


def _dataset(lists: ListTensors, gains: FloatArray, parameters: dict[str, Any], *, reference: Any = None) -> Any:
    import lightgbm

    # Lists begin with what followed, and of equal scores LightGBM counts the first as the better one: early rounds,
    # where most are equal, would look best. So rows stand at random.
    order_GC = np.random.default_rng(parameters["seed"]).random(lists.valid_GC.shape).argsort(axis=1)
    valid_GC = np.take_along_axis(lists.valid_GC.numpy(), order_GC, axis=1)
    features_GCF = np.take_along_axis(lists.features_GCF.numpy(), order_GC[:, :, None], axis=1)
    gains_GC = np.take_along_axis(lists.gains_GC.numpy(), order_GC, axis=1)
    return lightgbm.Dataset(
        features_GCF[valid_GC],
        label=np.searchsorted(gains, gains_GC[valid_GC].astype(np.float64)),
        group=valid_GC.sum(axis=1),
        reference=reference,
        params=parameters,
    )


def calibrated(trees: TreeRanker, lists: ListTensors) -> Calibration:
    """Slope and intercept of the chance that anything follows, and the mean weight of what followed.

    Args:
        trees: Their leaves are calibrated.
        lists: Best ones that the trees were not fitted on.
    """
    valid_GC = lists.valid_GC
    gains_N = lists.gains_GC[valid_GC].numpy().astype(np.float64)
    copies_N = lists.copies_GC[valid_GC].numpy().astype(np.float64)
    leaves_N = trees.leaves(lists.features_GCF[valid_GC].numpy())
    followed_N = gains_N > 0

    def loss(x: FloatArray) -> tuple[float, FloatArray]:
        logits_N = x[0] * leaves_N + x[1]
        losses_N = np.logaddexp(0.0, logits_N) - followed_N * logits_N
        # A weak pull towards slope 1: leaves that are all the same say nothing of it.
        value = copies_N @ losses_N + 0.5 * (x[0] - 1.0) ** 2
        slopes_N = copies_N * (1.0 / (1.0 + np.exp(-logits_N)) - followed_N)
        return float(value), np.array([slopes_N @ leaves_N + x[0] - 1.0, slopes_N.sum()])

    start = np.array([1.0, -4.0])
    found = optimize.minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(LEAST_SLOPE, None), (-30.0, 30.0)])
    mean_gain = float(gains_N[followed_N].mean()) if followed_N.any() else 1.0
    return Calibration(slope=float(found.x[0]), intercept=float(found.x[1]), mean_gain=mean_gain)
