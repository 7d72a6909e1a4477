"""When a training ends early (METHODS M23)."""

from collections.abc import Sequence


def has_stalled(scores: Sequence[float], patience: int) -> bool:
    """Whether none of the last `patience` epochs scored better than the best one before them.

    Args:
        scores: Of the validation part, one per epoch so far; greater is better.
        patience: At least 1.
    """
    return len(scores) > patience and max(scores[-patience:]) <= max(scores[:-patience])
