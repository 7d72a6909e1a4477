"""Altered copies of items' pictures and texts, encoded as the catalogue is (METHODS M14).

    altered = altered_items(pairs, data.items(), rows, seed=1)
    AlignmentFit(pairs, config, views=altered.views("augmented"))        shows an altered copy half of the time

Axes: R rows that were altered, X width of an encoder.
"""

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from mmrec.catalog.item import CatalogItem
from mmrec.catalog.pictures import BrokenPictureError, read_picture
from mmrec.content.alignment import IMAGE, TEXT
from mmrec.content.augment import augmented_picture, augmented_text, clutter, on_clutter
from mmrec.content.matrix import FloatArray
from mmrec.content.payloads import payloads
from mmrec.content.registry import encoder
from mmrec.training.alignment_data import AlignmentPairs
from mmrec.training.fit_alignment import Views

Rows = npt.NDArray[np.int64]
Kind = Literal["augmented", "cluttered"]
SIZE: Final = 224
SHOWN: Final = 0.5
"""Chance that a training step sees the altered copy of an item that has one."""


@dataclass(frozen=True, kw_only=True, eq=False)
class AlteredItems:
    """Items of some rows, altered."""

    pairs: AlignmentPairs
    rows: Rows
    """Rows of `pairs`, ascending; those whose picture could be read."""
    values: Mapping[tuple[Kind, str], FloatArray]
    """(kind, modality) -> (R, X); a modality that a kind leaves as it is has no entry."""

    def views(self, kind: Kind) -> Views:
        """What a fit shows: an altered copy of about every second item that has one."""
        place = np.full(len(self.pairs), -1, dtype=np.int64)
        place[self.rows] = np.arange(len(self.rows))

        def shown(modality: str, rows: Rows, generator: np.random.Generator) -> FloatArray:
            values: FloatArray = self.pairs.inputs[modality][rows]
            drawn = generator.random(len(rows)) < SHOWN
            if (kind, modality) in self.values:
                altered = drawn & (place[rows] >= 0)
                values[altered] = self.values[kind, modality][place[rows[altered]]]
            return values

        return shown


def altered_items(
    pairs: AlignmentPairs, items: Iterable[CatalogItem], rows: Rows, *, seed: int, cleaning: str = "none"
) -> AlteredItems:
    """Alter and encode the items of `rows`.

    Args:
        pairs: All pairs.
        items: The catalogue, pictures included; items that lack one, or have a broken one, are left out.
        rows: Rows of the pairs.
        seed: Of all draws; an item's copies depend on it and on the item's row alone.
        cleaning: Name of the text cleaning that the catalogue was encoded with.
    """
    row_of = {pairs.item_ids[row]: int(row) for row in rows}
    read_picture_with, read_text_with = (encoder(m, pairs.encoders[m]) for m in (IMAGE, TEXT))
    kept: list[int] = []
    pictures: dict[Kind, list[bytes]] = {"augmented": [], "cluttered": []}
    texts: list[bytes] = []
    for item in items:
        row, found = row_of.get(item.item_id), payloads(item, cleaning=cleaning)
        if row is None or IMAGE not in found or TEXT not in found:
            continue
        try:
            pixels = read_picture(found[IMAGE], size=SIZE)
        except BrokenPictureError:
            continue
        generator = np.random.default_rng((seed, row))
        kept.append(row)
        pictures["augmented"].append(_png(augmented_picture(pixels, generator)))
        pictures["cluttered"].append(_png(on_clutter(pixels, clutter(SIZE, generator), generator)))
        texts.append(augmented_text(found[TEXT].decode("utf-8"), generator).encode("utf-8"))
    order = np.argsort(kept)
    values: dict[tuple[Kind, str], FloatArray] = {
        (kind, IMAGE): read_picture_with.encode(made).values_ND[order] for kind, made in pictures.items()
    }
    values["augmented", TEXT] = read_text_with.encode(texts).values_ND[order]
    return AlteredItems(pairs=pairs, rows=np.array(kept, dtype=np.int64)[order], values=values)


def _png(pixels: npt.NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
