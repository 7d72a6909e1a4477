"""Catalogue items and item embeddings, whole and broken."""

from random import Random
from typing import Any

import numpy as np
from google.protobuf import json_format

from mmrec.v1.catalog_pb2 import Availability, CatalogItem
from tests.fuzz import awkward
from tests.fuzz.door import Fuzzed, Parts
from tests.fuzz.json_damage import damaged_document, damaged_key, written
from tests.fuzz.picture_inputs import picture

EMBEDDING_DIM = 32


def item_message(rng: Random, number: int) -> CatalogItem:
    """A valid item with an id and a title of its own."""
    item = CatalogItem(
        item_id=f"item{number}",
        title=f"Red dress {number}",
        description="Made of silk" if rng.random() < 0.5 else "",
        domain="fashion",
        attributes={"color": "red", "genres": "Action|Comedy"},
        price=rng.choice((0.0, 12.5, 99.0)),
        currency="EUR",
        availability=rng.choice((Availability.AVAILABILITY_UNSPECIFIED, Availability.AVAILABILITY_AVAILABLE)),
    )
    if rng.random() < 0.5:
        item.publish_time.seconds = 1_700_000_000
        item.update_time.seconds = 1_760_000_000
        item.expire_time.seconds = 1_700_000_000 + rng.choice((1, 90_000_000))
    if rng.random() < 0.3:
        item.images.add(content=picture(rng), media_type="image/png")
    return item


def item_document(rng: Random, number: int) -> dict[str, Any]:
    """The same as proto3 JSON."""
    document: dict[str, Any] = json_format.MessageToDict(item_message(rng, number), preserving_proto_field_name=True)
    return document


def valid_item(rng: Random, number: int) -> Parts:
    """Key and value of a valid record of catalog-items."""
    document = item_document(rng, number)
    return document["item_id"].encode(), written(document).encode()


def malformed_item(rng: Random, number: int) -> Fuzzed:
    """Key and value of a broken one."""
    document = item_document(rng, number)
    key: bytes = document["item_id"].encode()
    kind = rng.randrange(20)
    if kind == 0:
        return Fuzzed((damaged_key(key, rng), None), made_by="removal")
    if kind == 1:
        document["item_id"] = awkward.text(rng)
        return Fuzzed((document["item_id"].encode(), written(document).encode()), made_by="awkward_id")
    if kind == 2:
        name = rng.choice(("title", "description", "domain", "currency"))
        document[name] = awkward.text(rng)
        return Fuzzed((key, written(document).encode()), made_by="awkward_text")
    if kind == 3:
        document["availability"] = rng.choice((1, 3, 77, "HIDDEN", "discontinued", "AVAILABILITY_HIDDEN", -1, 2**31))
        return Fuzzed((key, written(document).encode()), made_by="enum")
    if kind == 4:
        document |= {
            "publish_time": "2023-11-14T22:13:20Z",
            "expire_time": rng.choice(("2023-11-14T22:13:19Z", "1999")),
        }
        return Fuzzed((key, written(document).encode()), made_by="never_shown")
    value, made_by = damaged_document(document, rng)
    return Fuzzed((damaged_key(key, rng), value), made_by=made_by)


def embedding_document(rng: Random, number: int) -> dict[str, Any]:
    """A valid ItemEmbedding of an encoder that the release knows."""
    document = item_document(rng, number)
    document.pop("images", None)
    document.pop("description", None)
    vector = np.random.default_rng(number).normal(size=EMBEDDING_DIM).round(6).tolist()
    document["modalities"] = [{"modality": "attributes", "encoder": "plain", "values": vector}]
    return document


def valid_embedding(rng: Random, number: int) -> Parts:
    """Key and value of a valid record of item-embeddings."""
    document = embedding_document(rng, number)
    return document["item_id"].encode(), written(document).encode()


def malformed_embedding(rng: Random, number: int) -> Fuzzed:
    """Key and value of a broken one."""
    document = embedding_document(rng, number)
    key: bytes = document["item_id"].encode()
    kind = rng.randrange(12)
    block = document["modalities"][0]
    if kind == 0:
        return Fuzzed((damaged_key(key, rng), None), made_by="removal")
    if kind == 1:
        block["values"] = rng.choice(([], [1.0], [0.0] * EMBEDDING_DIM, [1e39] * EMBEDDING_DIM, block["values"] * 2))
        return Fuzzed((key, written(document).encode()), made_by="vector")
    if kind == 2:
        block[rng.choice(("modality", "encoder"))] = awkward.text(rng)
        return Fuzzed((key, written(document).encode()), made_by="encoder")
    if kind == 3:
        document["modalities"] = [block, rng.choice((block, {**block, "values": []}, None, 1, "x"))]
        return Fuzzed((key, written(document).encode()), made_by="modalities")
    value, made_by = damaged_document(document, rng)
    return Fuzzed((damaged_key(key, rng), value), made_by=made_by)
