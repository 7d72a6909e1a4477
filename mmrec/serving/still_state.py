"""The state of a replica as of now, for programs that make many lists of one state and follow nothing meanwhile."""

from collections.abc import Callable
from dataclasses import replace

from mmrec.config import Settings
from mmrec.errors import PreconditionError
from mmrec.features.ports import ServingFeatures
from mmrec.index.vectors import VectorStore
from mmrec.publishing.release import ReleaseStore
from mmrec.scoring.profile import NEVER_S
from mmrec.serving.live_weights import LiveWeights
from mmrec.serving.recommend import ReplicaState
from mmrec.serving.release_loading import load_release


def still_state(
    settings: Settings,
    *,
    features: ServingFeatures,
    releases: ReleaseStore,
    open_vectors: Callable[[], VectorStore],
    release_id: str = "",
) -> ReplicaState:
    """What a replica with a release would answer requests from now.

    Args:
        release_id: The one that serves where empty.

    Raises:
        PreconditionError: no release serves.
        IncompatibleStateError, NotFoundError, StoreError: as load_release().
    """
    release_id = release_id or releases.current()
    if not release_id:
        raise PreconditionError("no release serves; train and publish one: `mmrec train`, `mmrec publish`")
    loaded = load_release(
        release_id, settings=settings, releases=releases, open_vectors=open_vectors, features=features
    )
    behaviors = LiveWeights(settings).behaviors()
    loaded.keeper.weigh(behaviors)
    loaded.keeper.publish()
    progress = features.read_progress()
    return ReplicaState(
        catalogue=loaded.keeper.catalogue,
        model=loaded.model,
        release_id=release_id,
        unusable_release=False,
        scoring=replace(settings.scoring, behaviors=behaviors),
        num_candidates=settings.serving.num_candidates,
        diversity=settings.serving.diversity,
        ranker_behaviors=loaded.behaviors,
        stream_ingest_time_s=progress.newest_ingest_time_s if progress is not None else NEVER_S,
        source_weights=loaded.model.source_weights,
    )
