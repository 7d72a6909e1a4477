"""What each feature added to a ranking score (METHODS M29).

    phi_f = mean over orders of the features  [ score(f and those before it as the item has them, the rest as others
            have them)  -  the same without f ]
    sum_f phi_f = score(item) - score(others)

Shapley values by sampled orders (Strumbelj and Kononenko, KAIS 2014), each order also taken backwards, which cancels
much of the noise. Any ranker can be asked: nothing but its scores is used. Axes: F features, O orders.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
Scores = Callable[[npt.NDArray[np.float32]], FloatArray]
NUM_ORDERS = 16


def contributions(
    score: Scores,
    row_F: npt.NDArray[np.float32],
    others_F: npt.NDArray[np.float32],
    *,
    num_orders: int = NUM_ORDERS,
    seed: int = 0,
) -> FloatArray:
    """What each feature of a row added, shape (F,), in the score's unit; the same seed gives the same numbers.

    Args:
        score: Feature rows (N, F) to scores (N,), higher is better; called once.
        row_F: The item's features, finite.
        others_F: What it is compared with, such as the mean row of the candidates.
        num_orders: Orders that are drawn; each costs two passes of F rows. The sum is exact for any number.
    """
    num_features = len(row_F)
    if not num_features:
        return np.zeros(0)
    drawn = np.random.default_rng(seed)
    orders = np.array([drawn.permutation(num_features) for _ in range(max(1, num_orders))])
    orders_OF = np.concatenate([orders, orders[:, ::-1]])
    # place_OF[o, f]: how many features are switched over before f is.
    place_OF = np.argsort(orders_OF, axis=1)
    steps = np.arange(num_features + 1)
    switched = place_OF[:, None, :] < steps[None, :, None]  # (O, F + 1, F)
    rows = np.where(switched, row_F, others_F).reshape(-1, num_features).astype(np.float32)
    scores_OS = np.asarray(score(rows), dtype=np.float64).reshape(len(orders_OF), num_features + 1)
    gains_OF = np.diff(scores_OS, axis=1)
    added: FloatArray = np.take_along_axis(gains_OF, place_OF, axis=1).mean(axis=0)
    return added
