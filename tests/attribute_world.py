"""A catalogue whose attributes are planted in its content vectors, so that the right answers are known."""

import numpy as np

from mmrec.catalog.item import CatalogEntry
from mmrec.content.matrix import ContentMatrix

COLORS = ("Red", "Navy Blue", "green", "White")
KINDS = ("shirt", "shoe", "watch")


def planted(
    num_items: int = 400,
    *,
    seed: int = 0,
    noise: float = 0.2,
    shares: tuple[float, ...] = (0.25, 0.25, 0.25, 0.25),
    width: int = 12,
) -> tuple[ContentMatrix, dict[str, CatalogEntry]]:
    """Items with a color and a kind; both stand in the picture's vector, the kind alone in the text's.

    Args:
        noise: Deviation of what is no signal; 0.2 beside directions of length 1 can be told apart nearly always.
        shares: How many items have each color.
    """
    drawn = np.random.default_rng(seed)
    directions = np.linalg.qr(drawn.standard_normal((width, width)))[0].astype(np.float32)
    color_I, kind_I = drawn.choice(len(COLORS), num_items, p=shares), drawn.integers(len(KINDS), size=num_items)
    image = directions[color_I] + directions[len(COLORS) + kind_I] + noise * drawn.standard_normal((num_items, width))
    text = directions[kind_I] + noise * drawn.standard_normal((num_items, width))
    ids = tuple(f"i{number:04d}" for number in range(num_items))
    content = ContentMatrix(
        item_ids=ids,
        values={"image": image.astype(np.float32), "text": text.astype(np.float32)},
        present={name: np.ones(num_items, dtype=bool) for name in ("image", "text")},
        encoders={"image": "eyes", "text": "words"},
        fingerprints={"image": "f1", "text": "f2"},
    )
    entries = {
        item_id: CatalogEntry(
            item_id=item_id,
            title=f"Product {item_id}",
            attributes={"color": COLORS[color_I[row]], "kind": KINDS[kind_I[row]]},
        )
        for row, item_id in enumerate(ids)
    }
    return content, entries
