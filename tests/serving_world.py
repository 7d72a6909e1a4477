"""A simulated storefront as serving sees it: profiles, counts, neighbors and a plain model, without any engine.

The model is real code with a known answer: item embeddings are noisy sums of attribute vectors, the user tower is the
decayed mean of the history, the ranker a fixed linear function of the feature row.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa

from mmrec.catalog.item import CatalogEntry, catalog_entry
from mmrec.features.assemble import FEATURE_NAMES
from mmrec.features.stores import MemoryFeatureStore
from mmrec.features.values import PopularItems
from mmrec.index.vectors import StoredVectors
from mmrec.recall.complements import build_complements, complement_key
from mmrec.recall.neighbors import build_neighbors
from mmrec.scoring.apply import apply
from mmrec.scoring.batch import session_batch
from mmrec.scoring.behaviors import shop_behaviors
from mmrec.scoring.item_statistics import accumulate, decay_rates, popularity
from mmrec.scoring.settings import ScoringConfig
from mmrec.serving.keeper import CatalogueKeeper
from mmrec.serving.recommend import Deadline, ReplicaState
from mmrec.simulator.settings import StorefrontConfig
from mmrec.simulator.storefront import Storefront

EMBEDDING_DIM = 32
HALF_LIVES = (1.0, 7.0, 30.0)
_GAINS = {
    "own_affinity_log": 0.5,
    "neighbor_score_log": 3.0,
    "tower_similarity": 2.0,
    "item_affinity_log_1": 0.3,
    "attribute_recent_mean": 2.0,
}


class PlainModel:
    """Towers and ranker written down by hand."""

    embedding_dim = EMBEDDING_DIM
    encoders: ClassVar = {"attributes": "plain"}
    fingerprints: ClassVar = {}
    content_dims: ClassVar = {"attributes": EMBEDDING_DIM}

    def item_embeddings(self, content):
        return unit(content.values["attributes"])

    def modality_weights(self, content):
        return {"attributes": content.present["attributes"].astype(np.float32)}

    def user_embedding(self, history_LD, behavior_ids_L, ages_s_L):
        weights = 0.5 ** (ages_s_L / (7 * 86_400.0))
        return unit((history_LD * weights[:, None]).sum(axis=0)[None])[0].astype(np.float32)

    def rank(self, features_NF):
        gains = np.array([_GAINS.get(name, 0.0) for name in FEATURE_NAMES])
        return features_NF.astype(np.float64) @ gains


def unit(vectors: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.maximum(norms, 1e-9)).astype(np.float32)


def content_vectors(entries: list[CatalogEntry]) -> np.ndarray:
    """Sum of one random vector per attribute value: items that share values look alike."""

    def vector(name: str, value: str) -> np.ndarray:
        seed = int.from_bytes(f"{name}={value}".encode())
        return np.random.default_rng(seed).normal(size=EMBEDDING_DIM)

    return unit(
        np.array([sum((vector(n, v) for n, v in e.attributes.items()), vector("", e.item_id) * 0.5) for e in entries])
    )


@dataclass(frozen=True)
class ServingWorld:
    """Everything a replica reads."""

    entries: list[CatalogEntry]
    store: MemoryFeatureStore
    vectors: StoredVectors
    scoring: ScoringConfig
    user_ids: tuple[str, ...]
    end_s: float

    def keeper(self, *, with_model: bool = True, with_statistics: bool = True) -> CatalogueKeeper:
        keeper = CatalogueKeeper(
            behaviors=self.scoring.behaviors,
            decay_per_day_H=decay_rates(HALF_LIVES),
            tower=PlainModel() if with_model else None,
        )
        keeper.load(self.vectors, {e.item_id: e for e in self.entries})
        if with_statistics:
            keeper.refresh_statistics(self.store, keeper.item_ids)
            keeper.refresh_neighbors(self.store, keeper.item_ids)
        keeper.publish()
        return keeper

    def state(self, keeper: CatalogueKeeper | None = None, *, with_model: bool = True, **changes) -> ReplicaState:
        keeper = keeper or self.keeper(with_model=with_model)
        values = {
            "catalogue": keeper.catalogue,
            "model": PlainModel() if with_model else None,
            "release_id": "planted" if with_model else "",
            "unusable_release": False,
            "scoring": self.scoring,
            "num_candidates": 400,
            "diversity": 0.0,
        }
        return ReplicaState(**{**values, **changes})

    def read_profile(self, user_key: str):
        return self.store.read_profiles([user_key]).get(user_key)


def no_deadline() -> Deadline:
    return Deadline(at_s=1e9, clock=lambda: 0.0)


def serving_world(*, num_users: int = 120, num_items: int = 200, days: float = 20.0, seed: int = 5) -> ServingWorld:
    """State after a storefront's history, made by the functions that the jobs use."""
    return world_of(Storefront(StorefrontConfig(seed=seed, num_users=num_users, num_items=num_items, days=days)))


def world_of(world: Storefront, *, until_s: float | None = None) -> ServingWorld:
    """State after what a storefront sent until an instant; the end of its window where absent."""
    scoring = ScoringConfig(behaviors=shop_behaviors())
    behaviors, store, end_s = scoring.behaviors, MemoryFeatureStore(), until_s or world.config.end_s
    entries = [catalog_entry(item) for item in world.catalog(with_images=False)]
    user_ids, item_ids, names, times, ids = [], [], [], [], []
    for chunk in world.history(None, end_s):
        user_ids += chunk.user_ids.tolist()
        item_ids += chunk.item_ids.tolist()
        names += chunk.behaviors.tolist()
        times += (chunk.events_N["event_ms"] / 1000.0).tolist()
        ids += chunk.event_ids.tolist()
    behavior_ids = [int(behaviors.ids_B[behaviors.index(name)]) for name in names]
    batch = session_batch(
        user_key="",
        item_ids=item_ids,
        behavior_ids=behavior_ids,
        event_times_s=times,
        event_ids=ids,
        ingest_time_s=end_s,
    )
    batch.user_keys[:] = user_ids
    store.write_profiles(apply({}, batch, config=scoring).profiles, write_time_s=end_s)
    statistics = accumulate({}, batch, half_lives_days=HALF_LIVES, behavior_ids_B=behaviors.ids_B)
    store.write_item_statistics(statistics, write_time_s=end_s)
    table = pa.table({"user_key": user_ids, "item_id": item_ids, "behavior": names, "event_time_s": times})
    store.write_neighbors(build_neighbors(table, behaviors=behaviors, as_of_s=end_s), write_time_s=end_s)
    complements = build_complements(table, behaviors=behaviors, as_of_s=end_s)
    store.write_neighbors({complement_key(name): near for name, near in complements.items()}, write_time_s=end_s)
    popular_ids, popularity_K = popularity(statistics, behaviors=behaviors, half_lives_days=HALF_LIVES, as_of_s=end_s)
    popular = PopularItems(item_ids=popular_ids, popularity_K=popularity_K, as_of_s=end_s)
    store.write_popular("", popular, write_time_s=end_s)
    store.write_item_content({e.item_id: e for e in entries}, write_time_s=end_s)
    order = sorted(range(len(entries)), key=lambda row: entries[row].item_id)
    entries = [entries[row] for row in order]
    return ServingWorld(
        entries=entries,
        store=store,
        vectors=StoredVectors(
            item_ids=tuple(e.item_id for e in entries), vectors_ID=content_vectors(entries), fields={}
        ),
        scoring=scoring,
        user_ids=tuple(dict.fromkeys(user_ids)),
        end_s=end_s,
    )
