"""Feast objects, one for one from mmrec.features.schema: nothing is named twice."""

import json
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from feast import Entity, FeatureService, FeatureView, Field, FileSource
from feast.types import Array, Bytes, Float32, Float64, Int64, String
from feast.value_type import ValueType as FeastValueType

from mmrec.features.schema import VIEWS, ValueType, View, store_fingerprint

_TYPES: dict[ValueType, Any] = {
    ValueType.BYTES: Bytes,
    ValueType.STRING: String,
    ValueType.INT64: Int64,
    ValueType.FLOAT64: Float64,
    ValueType.STRINGS: Array(String),
    ValueType.FLOAT32S: Array(Float32),
    ValueType.FLOAT64S: Array(Float64),
}
SERVICE = "recommender"


def definitions(*, offline_folder: Path, decay_per_day: Sequence[float]) -> list[Any]:
    """Entities, views and the feature service.

    Args:
        offline_folder: Where rows for training stand as Parquet, one folder per view.
        decay_per_day: Written to the views' tags: the rates of a generation of profiles that says no other.
    """
    entities = {
        view.entity: Entity(name=view.entity, join_keys=[view.join_key], value_type=FeastValueType.STRING)
        for view in VIEWS
    }
    tags = {"schema": store_fingerprint(), "decay_per_day": json.dumps(list(decay_per_day))}
    views = [_view(view, entities[view.entity], offline_folder, tags) for view in VIEWS]
    service = FeatureService(name=SERVICE, features=views, description="Everything a request reads.")
    return [*entities.values(), *views, service]


def _view(view: View, entity: Entity, offline_folder: Path, tags: dict[str, str]) -> FeatureView:
    source = FileSource(
        name=f"{view.name}_rows",
        path=str(offline_folder / view.name),
        timestamp_field="event_timestamp",
        created_timestamp_column="created_timestamp",
    )
    return FeatureView(
        name=view.name,
        entities=[entity],
        ttl=timedelta(0),
        schema=[
            Field(name=view.join_key, dtype=String),
            *(Field(name=f.name, dtype=_TYPES[f.value_type], description=f.description) for f in view.fields),
        ],
        source=source,
        online=True,
        description=view.description,
        tags=tags,
    )
