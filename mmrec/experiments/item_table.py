"""A file of items as catalogue items and vectors, and both as ItemFeatures.

    table = read_items(Path("I.parquet"))
    features = features_of(data.item_ids, table.items, vectors=table.vectors, encoders={"text": "hashing-tf"})

Columns of lists of fractions are vectors, named as their column: embeddings made elsewhere. Title and description are
texts; other columns of texts, whole numbers and lists of them are attributes. Fractions, times and pictures are left
out: encoders read pictures through the importers of whole data sets.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from mmrec.catalog.importers.cells import cell_text, is_list, joined, list_values
from mmrec.catalog.importers.fields import ITEM_FIELDS
from mmrec.catalog.importers.reading import Reading
from mmrec.catalog.importers.table import open_table
from mmrec.catalog.item import CatalogItem
from mmrec.catalog.values import attribute_values
from mmrec.content.cleaning import text_cleaning
from mmrec.content.modalities.registry import MODALITIES
from mmrec.errors import InvalidRequestError, NotFoundError
from mmrec.evaluation.catalogue_parts import DOMAIN
from mmrec.evaluation.interactions import Float32Array, ItemFeatures, ItemLabels
from mmrec.experiments.event_table import named_columns

USUAL_ENCODERS: Final[Mapping[str, str]] = {"text": "hashing-tf"}
"""Fast, and needs neither weights nor a corpus."""
_AT_A_TIME: Final = 256


@dataclass(frozen=True, kw_only=True, eq=False)
class ItemTable:
    """A file of items."""

    items: tuple[CatalogItem, ...]
    vectors: Mapping[str, Mapping[str, Sequence[float]]]
    """Column -> vector by item id; of items that have one."""


def read_items(path: Path, *, columns: Mapping[str, str] | None = None) -> ItemTable:
    """The items of a file.

    Args:
        columns: Column by field, for those whose names do not say it.

    Raises:
        NotFoundError: there is no such file.
        InvalidRequestError: there is no column of ids, an id is missing or given twice, or vectors of one column differ
            in length; says the file, row, column and value.
    """
    table = open_table(path)
    found = named_columns(table, dict(ITEM_FIELDS), columns or {})
    if "item_id" not in found:
        raise InvalidRequestError(
            f"{path} has no column of item_id; it has {', '.join(table.columns)}. Name it with --column item_id=COLUMN"
        )
    rest = [name for name in table.columns if name not in found.values()]
    items: dict[str, CatalogItem] = {}
    vectors: dict[str, dict[str, Sequence[float]]] = {}
    for number, cells in table.rows(Reading()):
        place = f"{path.name}, {table.row_word} {number}"
        item_id = cell_text(cells.get(found["item_id"])).strip()
        if not item_id or item_id in items:
            what = "given a second time" if item_id else "empty"
            raise InvalidRequestError(
                f"{place}: column {found['item_id']} {item_id!r} is {what}; give every item its own id"
            )
        attributes: dict[str, str] = {}
        for column in rest:
            value: Any = cells.get(column)
            if _is_vector(value):
                of_column = vectors.setdefault(column, {})
                length = len(next(iter(of_column.values()), value))
                if len(value) != length:
                    raise InvalidRequestError(f"{place}: column {column} has {len(value)} numbers, others {length}")
                of_column[item_id] = value
            elif text := _attribute(value):
                attributes[column] = text
        items[item_id] = CatalogItem(
            item_id=item_id,
            title=cell_text(cells.get(found["title"])) if "title" in found else "",
            description=cell_text(cells.get(found["description"])) if "description" in found else "",
            attributes=attributes,
        )
    return ItemTable(items=tuple(items.values()), vectors=vectors)


def features_of(
    item_ids: Sequence[str],
    items: Sequence[CatalogItem],
    *,
    vectors: Mapping[str, Mapping[str, Sequence[float]]] | None = None,
    encoders: Mapping[str, str] = USUAL_ENCODERS,
) -> ItemFeatures:
    """Content in the order of `item_ids`; items that are not among `items` have none.

    Args:
        vectors: Modality -> vector by item id, made elsewhere.
        encoders: Encoder by modality (mmrec.content); a modality that no item has is left out.

    Raises:
        NotFoundError: a modality or encoder is not known.
    """
    row_of = {each: row for row, each in enumerate(item_ids)}
    known = [item for item in items if item.item_id in row_of]
    found: dict[str, Float32Array] = {}
    for name, of_items in (vectors or {}).items():
        found[name] = np.zeros((len(item_ids), len(next(iter(of_items.values())))), dtype=np.float32)
        for item_id, vector in of_items.items():
            if item_id in row_of:
                found[name][row_of[item_id]] = vector
    for modality, encoder in encoders.items():
        encoded = _encoded(modality, encoder, known, row_of)
        if encoded is not None:
            found[modality] = encoded
    return ItemFeatures(
        num_items=len(item_ids),
        vectors=found,
        present={name: np.any(vectors_ID != 0, axis=1) for name, vectors_ID in found.items()},
        labels=_labels(known, row_of),
    )


def _encoded(
    modality: str, encoder: str, items: Sequence[CatalogItem], row_of: Mapping[str, int]
) -> Float32Array | None:
    named = next((each for each in MODALITIES if each.name == modality), None)
    if named is None:
        raise NotFoundError(f"no modality {modality!r}; there are {', '.join(each.name for each in MODALITIES)}")
    clean = text_cleaning("none")
    payloads = [(row_of[item.item_id], payload) for item in items if (payload := named.payload(item, clean))]
    if not payloads:
        return None
    model = named.load(encoder)
    vectors_ID = np.zeros((len(row_of), model.embedding_dim), dtype=np.float32)
    for start in range(0, len(payloads), _AT_A_TIME):
        part = payloads[start : start + _AT_A_TIME]
        vectors_ID[[row for row, _ in part]] = model.encode([payload for _, payload in part]).values_ND
    return vectors_ID


def _labels(items: Sequence[CatalogItem], row_of: Mapping[str, int]) -> ItemLabels | None:
    of_row = {
        row_of[item.item_id]: [
            *([f"{DOMAIN}={item.domain}"] if item.domain else ()),
            *(f"{name}={value}" for name, values in item.attributes.items() for value in attribute_values(values)),
        ]
        for item in items
    }
    names = sorted({label for labels in of_row.values() for label in labels})
    if not names:
        return None
    code_of = {name: code for code, name in enumerate(names)}
    codes = [sorted({code_of[label] for label in of_row.get(row, ())}) for row in range(len(row_of))]
    return ItemLabels(
        names=tuple(names),
        offsets=np.concatenate([[0], np.cumsum([len(each) for each in codes])]).astype(np.int64),
        codes_A=np.array([code for each in codes for code in each], dtype=np.int64),
    )


def _is_vector(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) > 0 and isinstance(value[0], float)


def _attribute(value: Any) -> str:
    """The text of a cell that says what an item is; "" of a fraction or time."""
    if isinstance(value, list | tuple) or is_list(value):
        return joined(list_values(value))
    return cell_text(value).strip() if isinstance(value, str | int) else ""
