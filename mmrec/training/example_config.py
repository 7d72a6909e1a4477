"""Which events become labels, and of which part of training."""

from dataclasses import dataclass
from enum import IntEnum

from mmrec.errors import SettingError
from mmrec.wire.declared import AtLeastOne, Count, NotNegative, Share, check


class Part(IntEnum):
    """Parts of the log by global time (METHODS M34), one after another; each is known when the next begins."""

    TOWERS = 0
    """Towers and neighbors are fit on it."""
    RANKER = 1
    """The ranker is fit on it, with towers and neighbors that took no step on it; which epoch of the towers stays is
    chosen by its labels, though (METHODS M23). What ships has towers that go on with it."""
    VALIDATION = 2
    """Figures are measured on it, of a model that has not learned from it; what ships then learns from it, too
    (mmrec.training.run)."""


@dataclass(frozen=True, kw_only=True)
class ExampleConfig:
    """Which events become labels, and what stands beside them."""

    window_days: NotNegative = 0.0
    """Labels are what was done in the newest so many days, and what was done before is history alone; 0 takes all."""
    towers_fraction: Share = 0.8
    """Share of the label events, by label time, before the ranker's labels begin."""
    ranker_fraction: Share = 0.1
    """Share that the ranker's labels take after that; the rest is validation."""
    max_retrieval_labels: Count = 500_000
    """Retrieval labels kept, a seeded draw; 0 keeps all."""
    max_ranker_lists: Count = 3_000
    """Ranking lists for fitting, a seeded draw."""
    max_validation_lists: Count = 1_500
    """Ranking lists for validation, a seeded draw."""
    max_lists_per_user: Count = 50
    """Ranking lists of one user in one part, so that scripts do not outvote people."""
    label_window_s: NotNegative = 3_600.0
    """What a user does within so long after a list's instant is a label of the list, too: an item bought within the
    hour is not taught as one nobody wanted, and a purchase outweighs the cart that led to it. Never beyond the end of
    the list's part. 0 takes the instant alone, as figures always do."""
    neighbor_builds: AtLeastOne = 4
    """Builds of neighbors within each part after the first, one for each of so many equal pieces of its lists; each
    list reads the newest that was built before it, as serving does, which builds every few seconds. Of a simulated
    shop's candidates 97 % are those of serving with 1, 98.8 % with 4 and 99 % with 8 (the benchmark ranking_skew)."""
    seed: Count = 1
    """Of every draw."""

    def __post_init__(self) -> None:
        check(self, "examples")
        if self.towers_fraction + self.ranker_fraction > 1:
            raise SettingError(
                ("examples", "ranker_fraction"),
                f"is {self.ranker_fraction} and towers_fraction {self.towers_fraction}: shares of one log; "
                "give two with a sum of 1 at most",
            )
