"""A release as a replica serves it: model, behaviors, and a CatalogueKeeper with the collection."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from mmrec.config import Settings
from mmrec.errors import IncompatibleStateError
from mmrec.features.assemble import feature_names
from mmrec.features.ports import ItemViewReader, ServingFeatures
from mmrec.index.vectors import VectorStore
from mmrec.models.bundle import ModelBundle
from mmrec.publishing.release import CollectionMark, Release, ReleaseStore, load_collection
from mmrec.recall.pull import neighbor_decays
from mmrec.scoring.behaviors import BehaviorSet
from mmrec.scoring.item_statistics import decay_rates
from mmrec.serving.keeper import CatalogueKeeper

PORTION = 200
"""Items read at a time: takes the store about 2 ms."""
RELEASE_CHECK_S = 1.0
"""Between two looks at the pointer, and before the first new try of a release that an engine failed to deliver."""


@dataclass(frozen=True, kw_only=True)
class Refused:
    """The promoted release that cannot be used, if there is one."""

    release_id: str = ""
    error: str = ""
    retry_at_s: float = math.inf
    """Instant on time.monotonic() after which it is tried again."""
    wait_s: float = RELEASE_CHECK_S


@dataclass(frozen=True, kw_only=True, eq=False)
class LoadedRelease:
    """Everything of one release that answers requests."""

    release: Release
    model: ModelBundle
    behaviors: BehaviorSet
    """The configured behaviors with the weights that the ranker was trained with."""
    keeper: CatalogueKeeper
    mark: CollectionMark
    """What of `item-embeddings` is in the collection that was read."""


def load_release(
    release_id: str,
    *,
    settings: Settings,
    releases: ReleaseStore,
    open_vectors: Callable[[], VectorStore],
    features: ServingFeatures,
) -> LoadedRelease:
    """Read a release and its collection.

    Raises:
        IncompatibleStateError: it was made for other features, behaviors or half-lives than this process has.
        NotFoundError: the release or its collection no longer exists.
        StoreError: an engine failed; trying again later may help.
    """
    release = releases.read(release_id)
    half_lives = settings.statistics.half_lives_days
    for what, made_for, here in (
        ("feature columns", release.feature_names, feature_names(settings.behaviors, num_half_lives=len(half_lives))),
        ("the feature schema", release.feature_fingerprint, features.fingerprint),
        ("half-lives in days", release.half_lives_days, half_lives),
        ("decays of neighbors", release.neighbor_decays, neighbor_decays(settings.scoring)),
        ("behaviors", sorted(release.behavior_weights), sorted(settings.behaviors.names)),
    ):
        if made_for != here:
            raise IncompatibleStateError(
                f"release {release_id!r} was made for other {what} ({made_for!s:.80}, here {here!s:.80}); "
                "train and publish again"
            )
    model = ModelBundle.load(Path(releases.model_folder(release_id))).in_form(settings.serving.ranker_form)
    mark = releases.collection_mark(release)  # before the collection, which may go on meanwhile
    stored = load_collection(release, open_vectors(), is_followed=releases.is_followed(release_id))
    keeper = CatalogueKeeper(
        behaviors=settings.behaviors,
        decay_per_day_H=decay_rates(half_lives),
        tower=model,
        trusts_inferred=settings.content.trust_inferred,
    )
    entries = {}
    for start in range(0, len(stored.item_ids), PORTION):
        entries.update(features.read_item_content(stored.item_ids[start : start + PORTION]))
    keeper.load(stored, entries)
    refresh_all(keeper, features)
    keeper.publish()
    weights = release.behavior_weights
    behaviors = BehaviorSet(tuple(replace(b, weight=weights[b.name]) for b in settings.behaviors))
    return LoadedRelease(release=release, model=model, behaviors=behaviors, keeper=keeper, mark=mark)


def refresh_all(keeper: CatalogueKeeper, features: ItemViewReader) -> None:
    """Read counts and neighbors of every item."""
    for start in range(0, len(keeper.item_ids), PORTION):
        portion = keeper.item_ids[start : start + PORTION]
        keeper.refresh_statistics(features, portion)
        keeper.refresh_neighbors(features, portion)
