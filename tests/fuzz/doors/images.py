"""Pictures: cleaning says whether a file can be read, the encoder reads it; both must come to an end, and agree."""

from collections.abc import Sequence
from random import Random

import numpy as np

from mmrec.catalog.cleaning import CleaningPolicy, clean_item
from mmrec.catalog.item import CatalogItem
from mmrec.catalog.pictures import read_picture
from mmrec.content.modalities.image import ColorHistogramEncoder
from tests.fuzz.door import NO_DETAIL, Fuzzed, Outcome, Parts, accepted, refused
from tests.fuzz.picture_inputs import malformed_picture, valid_picture


class ImagesDoor:
    """clean_item, then an image encoder over the whole batch."""

    name = "images"
    batch = 150
    seeds = 8

    def __init__(self) -> None:
        self._encoder = ColorHistogramEncoder()

    def valid(self, rng: Random, number: int) -> Parts:
        return valid_picture(rng, number)

    def malformed(self, rng: Random, number: int) -> Fuzzed:
        return malformed_picture(rng, number)

    def feed(self, inputs: Sequence[Fuzzed]) -> list[Outcome]:
        files = [fuzzed.parts[0] or b"" for fuzzed in inputs]
        encodings = self._encoder.encode(files)
        return [
            self._outcome(row, file, encodings.values_ND[row], encodings.reasons_N[row])
            for row, file in enumerate(files)
        ]

    def _outcome(self, row: int, file: bytes, vector: np.ndarray, reason: str) -> Outcome:
        cleaned = clean_item(CatalogItem(item_id=f"i{row}", title="A picture", image=file), CleaningPolicy())
        if cleaned.item is None:
            return refused("dropped", NO_DETAIL, problem="a picture costs its item")
        if cleaned.item.image is None:
            return refused(str(cleaned.reasons[0]), cleaned.image_problem)
        if reason:
            return refused(reason, NO_DETAIL, problem="cleaning takes the picture, the encoder does not")
        if not np.isfinite(vector).all() or not vector.any():
            return accepted(problem="the vector is not finite, or zero")
        return accepted(intact=read_picture(file, size=64).shape == (64, 64, 3))

    def close(self) -> None:
        """Nothing was opened."""
