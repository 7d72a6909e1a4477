"""A shop for the rehearsal's lists: items, statistics and neighbors in the store, and releases to promote.

The models have trained shapes and untrained weights: they cost what trained ones cost. Profiles come from events alone.
"""

from pathlib import Path

from mmrec.config import Settings
from tests.benchmarks.own_recommender import publish_untrained, write_item_views
from tests.serving_world import ServingWorld, serving_world

NUM_ITEMS, NUM_USERS = 1_000, 100


class Shop:
    """Items, and models that rank them."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        """Make the world and write what serving reads of its items; no release yet."""
        self._settings, self._folder = settings, folder
        self.world: ServingWorld = serving_world(num_users=NUM_USERS, num_items=NUM_ITEMS)
        self._num_releases = 0
        write_item_views(settings, self.world)

    def promote(self) -> str:
        """Publish a release of another model; its id."""
        self._num_releases += 1
        folder = self._folder / f"model_{self._num_releases}"
        return publish_untrained(self._settings, self.world, folder, {}, seed=self._num_releases)
