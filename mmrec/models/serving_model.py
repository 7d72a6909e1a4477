"""What recommend() needs of a release: user tower and ranker, as a port."""

from typing import Protocol

import numpy as np
import numpy.typing as npt


class ServingModel(Protocol):
    """User tower and ranker of one release; mmrec.models.bundle.ModelBundle is one."""

    def user_embedding(
        self,
        history_LD: npt.NDArray[np.float32],
        behavior_ids_L: npt.NDArray[np.uint8],
        ages_s_L: npt.NDArray[np.float64],
    ) -> npt.NDArray[np.float32]:
        """Unit vector of a user, shape (D,); zeros where L = 0."""
        ...

    def rank(self, features_NF: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Ranking scores, higher is better, shape (N,)."""
        ...
