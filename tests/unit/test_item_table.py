"""A catalogue kept up change by change is the one made at once from what is known in the end."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mmrec.catalog.item import Availability, CatalogEntry
from mmrec.catalog.values import attribute_values, folded
from mmrec.features.stores import MemoryFeatureStore
from mmrec.features.values import Neighbors
from mmrec.recall.catalogue import NO_ROW, Catalogue
from mmrec.recall.growing import GrowingColumn
from mmrec.scoring.behaviors import shop_behaviors
from mmrec.scoring.item_statistics import ItemStatistics, decay_rates
from mmrec.serving.item_record import ItemUpdate
from mmrec.serving.keeper import CatalogueKeeper
from tests.serving_world import EMBEDDING_DIM, HALF_LIVES, PlainModel, unit

IDS = [f"i{number}" for number in range(8)]
BEHAVIORS = shop_behaviors()
RATES_H = decay_rates(HALF_LIVES)


@dataclass
class Known:
    """What a plain reader of all changes would know."""

    rows: list[str] = field(default_factory=list)
    entries: dict[str, CatalogEntry | None] = field(default_factory=dict)
    vectors: dict[str, np.ndarray] = field(default_factory=dict)
    counts: dict[str, ItemStatistics] = field(default_factory=dict)
    lists: dict[str, Neighbors] = field(default_factory=dict)


entries = st.builds(
    CatalogEntry,
    item_id=st.just("-"),
    title=st.sampled_from(["A", "B"]),
    domain=st.sampled_from(["", "beauty", "Home"]),
    attributes=st.dictionaries(st.sampled_from(["color", "kind"]), st.sampled_from(["red", "Red|blue", "x|y|z"])),
    price=st.sampled_from([0.0, 5.0, 9.5]),
    availability=st.sampled_from(list(Availability)),
    publish_time_s=st.sampled_from([0.0, 100.0, 200.0]),
    expire_time_s=st.sampled_from([0.0, 300.0, 400.0]),
)
changes = st.one_of(
    st.tuples(st.just("take"), st.sampled_from(IDS), entries, st.integers(0, 5)),
    st.tuples(st.just("remove"), st.sampled_from(IDS)),
    st.tuples(st.just("count"), st.sampled_from(IDS), st.integers(0, 9)),
    st.tuples(st.just("neighbors"), st.sampled_from(IDS), st.lists(st.sampled_from(IDS), max_size=4, unique=True)),
    st.tuples(st.just("publish")),
)


def vector(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=EMBEDDING_DIM).astype(np.float32)


def step(keeper: CatalogueKeeper, known: Known, change: tuple[Any, ...]) -> None:
    kind, *rest = change
    if kind == "take":
        item_id, entry, seed = rest
        entry = CatalogEntry(**{**vars(entry), "item_id": item_id})
        content = {"vectors": {"attributes": vector(seed)}, "encoders": {"attributes": "plain"}} if seed else {}
        keeper.take([ItemUpdate(item_id=item_id, entry=entry, **content)])
        known.entries[item_id] = entry
        if seed:
            known.vectors[item_id] = vector(seed)
        known.rows += [item_id] if item_id not in known.rows else []
    elif kind == "remove":
        keeper.take([ItemUpdate(item_id=rest[0], entry=None)])
        known.entries[rest[0]] = None
        known.rows += [rest[0]] if rest[0] not in known.rows else []
    elif kind == "count":
        item_id, number = rest
        counts_HB = np.full((len(HALF_LIVES), len(BEHAVIORS)), float(number))
        statistics = ItemStatistics(behavior_ids_B=BEHAVIORS.ids_B, counts_HB=counts_HB, reference_time_s=50.0 + number)
        store = MemoryFeatureStore()
        store.write_item_statistics({item_id: statistics}, write_time_s=0.0)
        keeper.refresh_statistics(store, [item_id])
        if item_id in known.rows:
            known.counts[item_id] = statistics
    elif kind == "neighbors":
        item_id, others = rest
        version = float(len(known.lists) + sum(n.built_time_s for n in known.lists.values()))
        neighbors = Neighbors(
            item_ids=tuple(others), weights_K=np.arange(1, len(others) + 1, dtype=np.float32), built_time_s=version + 1
        )
        store = MemoryFeatureStore()
        store.write_neighbors({item_id: neighbors}, write_time_s=0.0)
        keeper.refresh_neighbors(store, [item_id])
        known.lists[item_id] = neighbors
    else:
        keeper.publish()


def seen(catalogue: Catalogue) -> dict[str, Any]:
    """What requests read, without what has no meaning: numbers of tokens, room for more tokens or neighbors."""
    words = {token: value for value, token in catalogue.vocabulary._tokens.items()}
    tokens_TI = catalogue.content.tokens_TX
    neighbors = catalogue.neighbors
    return {
        "item_ids": catalogue.item_ids,
        "row_of": catalogue.row_of,
        "entries": catalogue.entries,
        "prices": catalogue.content.prices_X.tolist(),
        "published": catalogue.published_from_I.tolist(),
        "expires": catalogue.content.expire_times_X.tolist(),
        "values": [{words[t] for t in tokens_TI[:-1, row].tolist() if t} for row in range(tokens_TI.shape[1])],
        "domains": [words[t] if t else None for t in tokens_TI[-1].tolist()],
        "showable": catalogue.showable_I.tolist(),
        "counts": catalogue.counts_IHB.tolist(),
        "references": catalogue.reference_times_I.tolist(),
        "vectors": catalogue.index.vectors_ID.tolist() if catalogue.index is not None else None,
        "embedded": catalogue.embedded_I.tolist(),
        "shares": {name: share.tolist() for name, share in catalogue.modality_weights.items()},
        "popular": catalogue.popular_rows_I.tolist(),
        "neighbors": [
            [(row, weight) for row, weight in zip(rows, weights, strict=True) if row != NO_ROW]
            for rows, weights in zip(neighbors.rows_IK.tolist(), neighbors.weights_IK.tolist(), strict=True)
        ]
        if neighbors is not None
        else None,
    }


def expected(known: Known) -> dict[str, Any]:
    """The same, computed the plain way from what is known."""
    row_of = {item_id: row for row, item_id in enumerate(known.rows)}
    shown = [
        known.entries[item_id] or CatalogEntry(item_id=item_id, availability=Availability.HIDDEN)
        for item_id in known.rows
    ]
    nothing = np.zeros((len(HALF_LIVES), len(BEHAVIORS)))
    counts = [known.counts[i].counts_HB if i in known.counts else nothing for i in known.rows]
    references = [known.counts[i].reference_time_s if i in known.counts else -np.inf for i in known.rows]
    vectors = [
        unit(known.vectors[i][None])[0] if i in known.vectors else np.zeros(EMBEDDING_DIM, np.float32)
        for i in known.rows
    ]
    published = [entry.publish_time_s or -np.inf for entry in shown]
    newest = max((r for r in references if np.isfinite(r)), default=0.0)
    popularity = [
        float((c[1] * BEHAVIORS.weights_B).sum() * np.exp(-RATES_H[1] * (newest - r) / 86_400)) if np.isfinite(r) else 0
        for c, r in zip(counts, references, strict=True)
    ]
    return {
        "item_ids": tuple(known.rows),
        "row_of": row_of,
        "entries": tuple(shown),
        "published": published,
        "expires": [entry.expire_time_s or np.inf for entry in shown],
        "values": [{(n, folded(v)) for n, vs in e.attributes.items() for v in attribute_values(vs)} for e in shown],
        "domains": [("", folded(e.domain)) if e.domain else None for e in shown],
        "showable": [entry.availability.can_be_shown for entry in shown],
        "counts": [c.tolist() for c in counts],
        "references": references,
        "vectors": [v.tolist() for v in vectors],
        "embedded": [item_id in known.vectors for item_id in known.rows],
        "popular": sorted(range(len(shown)), key=lambda row: (-popularity[row], -published[row], row)),
        "neighbors": [
            [
                (row_of[other], float(weight))
                for other, weight in zip(known.lists[i].item_ids, known.lists[i].weights_K, strict=True)
                if other in row_of
            ]
            if i in known.lists
            else []
            for i in known.rows
        ]
        if any(i in row_of for i in known.lists)
        else None,
    }


@settings(max_examples=60, deadline=None)
@given(st.lists(changes, max_size=24))
def test_any_changes_give_the_catalogue_that_is_made_at_once(sequence: list[tuple[Any, ...]]) -> None:
    keeper, known = CatalogueKeeper(behaviors=BEHAVIORS, decay_per_day_H=RATES_H, tower=PlainModel()), Known()
    given_out: list[tuple[Catalogue, dict[str, Any]]] = []
    for change in sequence:
        step(keeper, known, change)
        if change[0] == "publish":
            given_out.append((keeper.catalogue, seen(keeper.catalogue)))
    keeper.publish()
    kept, wanted = seen(keeper.catalogue), expected(known)
    assert {name: kept[name] for name in wanted if name != "vectors"} == {
        n: wanted[n] for n in wanted if n != "vectors"
    }
    assert np.allclose(kept["vectors"] or [], wanted["vectors"], atol=1e-6)
    for catalogue, before in given_out:  # nothing that was given out has changed
        assert np.array_equal(np.array(before.pop("prices")), catalogue.content.prices_X, equal_nan=True)
        now = seen(catalogue)
        assert {name: now[name] for name in before} == before


def test_a_view_never_changes_and_new_rows_cost_no_copy() -> None:
    column = GrowingColumn(fill=0, dtype=np.int64, shape=(2,))
    column.put(np.array([0, 1]), [[1, 1], [2, 2]])
    first = column.view(2)
    column.put(np.array([2]), [[3, 3]])
    second = column.view(3)
    assert np.shares_memory(first, second)
    column.put(np.array([0, 3]), [[9, 9], [4, 4]])
    assert first.tolist() == [[1, 1], [2, 2]]
    assert second.tolist() == [[1, 1], [2, 2], [3, 3]]
    column.widen((3,))
    assert column.view(5).tolist() == [[9, 9, 0], [2, 2, 0], [3, 3, 0], [4, 4, 0], [0, 0, 0]]
    assert not second.flags.writeable
