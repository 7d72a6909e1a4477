"""Publishing: a trained model and the catalogue's content become a release that may serve.

The order keeps the old release serving whatever fails: offsets first, then vectors, then the release, then gates, and
the pointer last. One gate reads the collection back whole, as replicas will. Axes: I items, D embedding, Q queries.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mmrec.catalog.item import CatalogEntry
from mmrec.config import Settings
from mmrec.content.matrix import ContentMatrix, Encoded, is_same_encoder
from mmrec.errors import IncompatibleStateError, NotFoundError, ReleaseGateError, StoreError
from mmrec.features.assemble import feature_names
from mmrec.index.vectors import WEIGHT_FIELD, ExactIndex, StoredVectors, VectorStore
from mmrec.models.bundle import ModelBundle
from mmrec.publishing.release import (
    Release,
    ReleaseStore,
    check_gates,
    collection_name,
    load_collection,
    new_release_id,
    tower_fingerprint,
)
from mmrec.recall.pull import neighbor_decays
from mmrec.telemetry.logs import get_logger

log = get_logger(__name__)
LIVE_ALIAS = "items_live"
NUM_QUERIES = 64
RECALL_DEPTH = 100


@dataclass(frozen=True, kw_only=True)
class EmbeddingsMark:
    """How far `item-embeddings` was when the content was read."""

    topic: str
    """ "cluster id/topic id"."""
    offsets: Mapping[int, int]
    """Partition -> next offset."""


def publish(
    model_folder: Path,
    *,
    content: ContentMatrix,
    entries: Mapping[str, CatalogEntry],
    mark: EmbeddingsMark,
    settings: Settings,
    feature_fingerprint: str,
    vectors: VectorStore,
    releases: ReleaseStore,
    now_s: float,
) -> Release:
    """Write a collection and a release, judge it, and let it serve.

    Args:
        content: All items with content; read after `mark` was taken.
        entries: Serving fields by item, for titles.
        feature_fingerprint: Fingerprint of the feature store's schema.

    Raises:
        IncompatibleStateError: the model ranks other features, or was trained with other behaviors or encoders.
        ReleaseGateError: a gate was missed, or the collection does not read back as it was written; the release is
            kept with what the gate said, the one before goes on serving.
        StoreError: an engine failed; what of the release is there already is kept and does not serve.
    """
    model = ModelBundle.load(model_folder)
    check_model(model, content, settings)
    embeddings_ID = model.item_embeddings(content)
    release_id = new_release_id(now_s)
    collection = collection_name(release_id)
    metrics = {name: float(value) for name, value in model.metrics.items() if isinstance(value, int | float)}
    release = Release(
        release_id=release_id,
        created_s=now_s,
        collection=collection,
        feature_fingerprint=feature_fingerprint,
        feature_names=tuple(model.feature_names),
        behavior_weights=dict(zip(settings.behaviors.names, model.behavior_weights, strict=True)),
        half_lives_days=settings.statistics.half_lives_days,
        neighbor_decays=neighbor_decays(settings.scoring),
        encoders=dict(model.encoders),
        fingerprints=dict(model.fingerprints),
        embedding_dim=model.embedding_dim,
        num_items=len(content.item_ids),
        embedding_offsets={str(partition): offset for partition, offset in mark.offsets.items()},
        embedding_topic=mark.topic,
        tower_fingerprint=tower_fingerprint(model_folder),
        warm_from=str(model.metrics.get("warm_from", "")),
    )
    drop_old_refits(releases, vectors, num_kept=settings.publish.num_warm)
    fields, description = _fields(model, content, entries), release.collection_description
    vectors.create_collection(collection, content.item_ids, embeddings_ID, fields, description=description)
    metrics["index_recall_at_100"] = index_recall(vectors, collection, content.item_ids, embeddings_ID)
    release = replace(release, metrics=metrics)
    releases.write(release, model_folder)
    try:
        check_origin(release, releases)
        check_gates(metrics, settings.publish)
        check_read_back(
            vectors.load(collection), collection=collection, item_ids=content.item_ids, vectors_ID=embeddings_ID
        )
    except ReleaseGateError as error:
        releases.keep_refusal(release_id, str(error))
        raise
    releases.promote(release_id)
    vectors.point_alias(LIVE_ALIAS, collection)
    drop_old_collections(releases, vectors, num_kept=settings.publish.num_collections)
    return release


def check_origin(release: Release, releases: ReleaseStore) -> None:
    """Raise ReleaseGateError for a warm refit of a release that no longer serves: what does may be newer than it."""
    if release.warm_from and release.warm_from != (current := releases.current()):
        raise ReleaseGateError(
            f"not promoted: it went on from release {release.warm_from!r}, and {current or 'none'} serves by now; "
            "refit that one"
        )


def check_model(model: ModelBundle, content: ContentMatrix, settings: Settings) -> None:
    """Raise IncompatibleStateError unless a model was trained for this configuration and for this content."""
    names = feature_names(settings.behaviors, num_half_lives=len(settings.statistics.half_lives_days))
    if tuple(model.feature_names) != names:
        raise IncompatibleStateError("the model ranks other features than this configuration has; train it again")
    if model.behavior_ids != tuple(settings.behaviors.ids_B.tolist()):
        raise IncompatibleStateError(
            f"the model knows behaviors of ids {model.behavior_ids}, this configuration has "
            f"{settings.behaviors.ids_B.tolist()}; train it again"
        )
    other = [
        f"{name} content was made by {_maker(name, content)}, the model was trained with {_maker(name, model)}"
        for name in sorted(content.encoders)
        if name in model.encoders and not is_same_encoder(name, content, model)
    ]
    if other:
        raise IncompatibleStateError(f"{'; '.join(other)}: encode the catalogue or train again")


def _maker(modality: str, made: Encoded) -> str:
    return f"{made.encoders[modality]!r} (fingerprint {made.fingerprints.get(modality) or 'unknown'})"


def _fields(model: ModelBundle, content: ContentMatrix, entries: Mapping[str, CatalogEntry]) -> dict[str, list[str]]:
    """What the collection holds beside vectors: titles, and how much each modality says about each item."""
    titles = [entries[item_id].title if item_id in entries else "" for item_id in content.item_ids]
    weights = {
        f"{WEIGHT_FIELD}{name}": [f"{share:.4f}" for share in shares.tolist()]
        for name, shares in model.modality_weights(content).items()
    }
    return {"title": titles, **weights}


def check_read_back(
    stored: StoredVectors, *, collection: str, item_ids: Sequence[str], vectors_ID: npt.NDArray[np.float32]
) -> None:
    """Raise ReleaseGateError unless a collection holds exactly these items with these vectors.

    Args:
        stored: What came back.
        item_ids: What was written, in any order.
        vectors_ID: Aligned to item_ids; equal to a millionth, since engines keep float32.
    """
    row_of = {item_id: row for row, item_id in enumerate(item_ids)}
    lost = sorted(row_of.keys() - set(stored.item_ids))
    strange = sorted(set(stored.item_ids) - row_of.keys())
    if lost or strange or len(stored.item_ids) != len(item_ids):
        examples = [
            f"{words} {found[0]!r}" for words, found in (("without", lost), ("with a strange", strange)) if found
        ]
        raise ReleaseGateError(
            f"not promoted: collection {collection!r} was written with {len(item_ids)} items and reads back "
            f"{len(stored.item_ids)}{''.join(f', {example}' for example in examples)}"
        )
    written_ID = vectors_ID[[row_of[item_id] for item_id in stored.item_ids]]
    if written_ID.shape != stored.vectors_ID.shape:
        raise ReleaseGateError(
            f"not promoted: collection {collection!r} was written with vectors of shape {written_ID.shape} and reads "
            f"back {stored.vectors_ID.shape}"
        )
    same_I = np.isclose(written_ID, stored.vectors_ID, rtol=0.0, atol=1e-6).all(axis=1)
    if not same_I.all():
        raise ReleaseGateError(
            f"not promoted: collection {collection!r} reads back other vectors for {int((~same_I).sum())} of "
            f"{len(item_ids)} items, among them {stored.item_ids[int(np.argmin(same_I))]!r}"
        )


def let_serve(release_id: str, *, releases: ReleaseStore, vectors: VectorStore) -> Release:
    """Move pointer and alias to a kept release whose collection can be read.

    Raises:
        NotFoundError: there is no such release, or its collection was dropped.
        StoreError: its collection cannot be read back, or holds another number of items than the release.
    """
    release = _servable(release_id, releases, vectors)
    releases.promote(release_id)
    vectors.point_alias(LIVE_ALIAS, release.collection)
    return release


def roll_back(*, releases: ReleaseStore, vectors: VectorStore) -> Release:
    """Move pointer and alias to the release before; NotFoundError where there is none, else as let_serve()."""
    if before := releases.before():
        _servable(before, releases, vectors)
    release = releases.read(releases.rollback())
    vectors.point_alias(LIVE_ALIAS, release.collection)
    return release


def _servable(release_id: str, releases: ReleaseStore, vectors: VectorStore) -> Release:
    release = releases.read(release_id)
    if release.collection not in vectors.collections():
        raise NotFoundError(f"the collection of release {release_id!r} was dropped; publish its model again")
    load_collection(release, vectors, is_followed=releases.is_followed(release_id))
    return release


def drop_old_collections(releases: ReleaseStore, vectors: VectorStore, *, num_kept: int) -> None:
    """Drop collections of all but the newest releases.

    Those of the current release, of the one before and of the last whole training that served stay. The releases
    themselves stay: they are small. An engine that fails here is logged, the release serves already.
    """
    ids, warm = releases.list(), releases.warm()
    whole = [release_id for release_id in releases.promoted() if release_id not in warm]
    kept = {*ids[-num_kept:], *whole[-1:], releases.current(), releases.before()}
    _drop_collections(vectors, [release_id for release_id in ids if release_id not in kept])


def drop_old_refits(releases: ReleaseStore, vectors: VectorStore, *, num_kept: int) -> None:
    """Delete all but the newest warm refits, collections and all; never the current release and the one before.

    There is one every few minutes. An engine that fails here is logged, and they go next time.
    """
    warm, serving = sorted(releases.warm()), {releases.current(), releases.before()}
    old = [release_id for release_id in warm[: max(len(warm) - num_kept, 0)] if release_id not in serving]
    if _drop_collections(vectors, old):
        for release_id in old:
            releases.drop(release_id)
            log.info("release_dropped", release_id=release_id)


def _drop_collections(vectors: VectorStore, release_ids: Sequence[str]) -> bool:
    """Whether none of these has a collection any more."""
    try:
        for collection in sorted({collection_name(each) for each in release_ids} & set(vectors.collections())):
            vectors.drop(collection)
            log.info("collection_dropped", collection=collection)
    except StoreError as error:
        log.warning("collections_not_dropped", error=str(error))
        return False
    return True


def index_recall(
    vectors: VectorStore, collection: str, item_ids: tuple[str, ...], embeddings_ID: npt.NDArray[np.float32]
) -> float:
    """recall@100 of a collection against exact search, over queries between pairs of items."""
    depth = min(RECALL_DEPTH, len(item_ids))
    if not depth:
        raise ReleaseGateError("not promoted: the catalogue holds no item with content; encode it first")
    rng = np.random.default_rng(0)
    pairs = rng.integers(0, len(item_ids), size=(NUM_QUERIES, 2))
    queries_QD = embeddings_ID[pairs[:, 0]] + embeddings_ID[pairs[:, 1]]
    exact = ExactIndex(item_ids, embeddings_ID).search(queries_QD, num_results=depth)
    found = vectors.search(collection, queries_QD, num_results=depth)
    # Items as near as the last one count: which of equals is found says nothing about the index.
    hits = [
        sum(score >= last - 1e-5 for _, score in hits)
        for hits, last in zip(found, exact.scores_QK[:, -1].tolist(), strict=True)
    ]
    return float(np.minimum(hits, depth).sum() / (depth * NUM_QUERIES))
