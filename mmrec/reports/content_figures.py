"""What frozen encoders know of a catalogue, without any training: the figures that trained models stand beside.

    content_findings(judged)       neighbors, color, text to image, top-5 lists, principal components

Items and photographs stay on one side of the split with everything of the same title or picture. An item is judged by
what stands in its attributes. A similarity of image and text is the weighted mean of two cosines, which is S4's
z_i . z_q with z = [sqrt(a) image; sqrt(1 - a) text]: two spaces that were never aligned cannot be averaged themselves.
Axes: I items, Q queries, D numbers of a vector.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from mmrec.catalog.item import CatalogItem
from mmrec.evaluation.content_metrics import (
    accuracy,
    first_right_ranks,
    knn_labels,
    macro_f1,
    majority_accuracy,
    nearest,
    unit_rows,
)
from mmrec.evaluation.linear_probe import probed_labels
from mmrec.evaluation.metrics import hit_rate
from mmrec.reports.encoded_catalogue import FloatArray
from mmrec.reports.findings import AnyPart, Findings, Heat, Scatter, Strip, Strips, Table
from mmrec.reports.judged_content import IntArray, JudgedContent

GALLERY: Final = 1_500
"""Held-out items that a text is to find the right one among."""
IMAGE_WEIGHT: Final = 0.5
NUM_BRIDGES: Final = 5
COLOR_ENCODER: Final = "color-histogram"
_MAX_POINTS: Final = 2_500
_MAX_CONFUSED: Final = 20
_TOP: Final = 5


def content_findings(judged: JudgedContent, *, num_lists: int = 4) -> Findings:
    """All figures of frozen encoders.

    Args:
        num_lists: Top-5 lists per kind of query.
    """
    facts = {
        "items with a picture": f"{len(judged.items):,}",
        "held out": f"{len(judged.test):,}, with everything of the same title or picture",
        "encoders": ", ".join([*judged.images, judged.encoded.text_encoder]),
    }
    parts: list[AnyPart] = [
        neighbors_table(judged),
        confusion_heat(judged),
        *([color_table(judged)] if judged.color_name else []),
        retrieval_table(judged),
        components(judged),
        *top_lists(judged, num_lists=num_lists),
    ]
    return Findings(title="What frozen encoders know", facts=facts, parts=parts)


def neighbors_table(judged: JudgedContent, *, k: int = 5) -> Table:
    """k-NN accuracy of held-out items by what they are: each encoder alone, the images' with the text."""
    labels = judged.labels(judged.class_name)
    fit, test = judged.fit[labels[judged.fit] != ""], judged.test[labels[judged.test] != ""]
    spaces = dict(judged.images)
    spaces[judged.encoded.text_encoder] = judged.texts_ID
    spaces[f"{judged.best_image} and {judged.encoded.text_encoder}"] = both(judged)
    rows: list[list[float | str]] = [["the most frequent class", majority_accuracy(labels[fit], labels[test]), ""]]
    for name, values in spaces.items():
        found = knn_labels(values[test], values[fit], labels[fit], k=k)
        rows.append([name, accuracy(labels[test], found), macro_f1(labels[test], found)])
    return Table(
        title=f"{k}-NN {judged.class_name} of {len(test):,} held-out items",
        columns=["vectors", "accuracy", "macro F1"],
        rows=rows,
        note=f"Majority of the {k} nearest of {len(fit):,} other items by cosine.",
    )


def confusion_heat(judged: JudgedContent) -> Heat:
    """Which classes the neighbors by image take for which, among the most frequent ones."""
    labels = judged.labels(judged.class_name)
    fit, test = judged.fit[labels[judged.fit] != ""], judged.test[labels[judged.test] != ""]
    found = knn_labels(judged.images[judged.best_image][test], judged.images[judged.best_image][fit], labels[fit])
    names, counts = np.unique(labels[test], return_counts=True)
    kept = names[np.argsort(-counts, kind="stable")][:_MAX_CONFUSED].tolist()
    place = {name: number for number, name in enumerate(kept)}
    values = np.zeros((len(kept), len(kept)))
    for true, said in zip(labels[test].tolist(), found.tolist(), strict=True):
        if true in place and said in place:
            values[place[true], place[said]] += 1
    return Heat(
        title=f"Confusion of {judged.class_name} by image",
        row_name="true",
        column_name="said",
        rows=kept,
        columns=kept,
        values=values.tolist(),
        by_row=True,
    )


def color_table(judged: JudgedContent) -> Table:
    """Color from the image by a linear probe, without and with a color histogram beside the network."""
    labels = judged.labels(judged.color_name)
    fit, test = judged.fit[labels[judged.fit] != ""], judged.test[labels[judged.test] != ""]
    spaces = dict(judged.images)
    if COLOR_ENCODER in spaces and judged.best_image != COLOR_ENCODER:
        joined = np.hstack([spaces[judged.best_image], spaces[COLOR_ENCODER]])
        spaces[f"{judged.best_image} with {COLOR_ENCODER}"] = joined
    rows: list[list[float | str]] = [["the most frequent color", majority_accuracy(labels[fit], labels[test]), ""]]
    for name, values in spaces.items():
        found = probed_labels(values[fit], labels[fit], values[test])
        rows.append([name, accuracy(labels[test], found), macro_f1(labels[test], found)])
    return Table(
        title=f"{judged.color_name} of {len(test):,} held-out items by a linear probe",
        columns=["vectors", "accuracy", "macro F1"],
        rows=rows,
    )


def retrieval_table(judged: JudgedContent, *, k: int = 10) -> Table:
    """Text to image among held-out items before any alignment: chance, and through texts of known items.

    The bridge: the picture that belongs to a text is taken to look like the mean picture of the NUM_BRIDGES known items
    with the most similar texts.
    """
    with_text: npt.NDArray[np.bool_] = np.any(judged.texts_ID != 0, axis=1)
    test = judged.test[with_text[judged.test]][:GALLERY]
    fit = judged.fit[with_text[judged.fit]]
    gallery = judged.images[judged.best_image][test]
    bridges_QK = fit[nearest(judged.texts_ID[test], judged.texts_ID[fit], min(NUM_BRIDGES, len(fit)))]
    guesses = judged.images[judged.best_image][bridges_QK].mean(axis=1)
    own = first_right_ranks(guesses, gallery, query_keys=test, gallery_keys=test)
    groups = judged.groups[test]
    alike = first_right_ranks(guesses, gallery, query_keys=groups, gallery_keys=groups)
    return Table(
        title=f"Text to image before alignment, recall@{k} among {len(test):,} held-out items",
        columns=["way", "the very item", "any item of its title or picture"],
        rows=[
            ["chance", min(1.0, k / max(len(test), 1)), ""],
            [f"mean picture of the {NUM_BRIDGES} most similar texts", hit_rate(own, k), hit_rate(alike, k)],
        ],
        note="Items as similar as the right one share the middle of their ranks.",
    )


def components(judged: JudgedContent) -> Scatter:
    """Two principal components of the images, by class."""
    values = judged.images[judged.best_image]
    rows = np.linspace(0, len(values) - 1, min(len(values), _MAX_POINTS)).astype(np.int64)
    centered = values - values.mean(axis=0)
    _, vectors = np.linalg.eigh((centered.T @ centered).astype(np.float64))
    # The sign of a component is free: its largest number is made positive.
    top: npt.NDArray[np.float64] = vectors[:, -1:-3:-1]
    top = top * np.sign(top[np.abs(top).argmax(axis=0), np.arange(top.shape[1])])
    places = centered[rows] @ top
    labels = judged.labels(_broad(judged))[rows]
    return Scatter(
        title=f"Images by {_broad(judged)}: principal components",
        x="first component",
        y="second component",
        xs=places[:, 0].tolist(),
        ys=places[:, 1].tolist(),
        labels=labels.tolist(),
    )


def top_lists(judged: JudgedContent, *, num_lists: int) -> list[Strips]:
    """The five most similar items of queries by item, by text and by photograph."""
    queries = _spread(judged.test, num_lists)
    images, texts = judged.images[judged.best_image], judged.texts_ID
    by_item = [_strip(judged, row, both(judged), asked=judged.items[row].title) for row in queries]
    by_photo = [_strip(judged, row, images, asked="this photograph") for row in queries]
    by_text = [_strip(judged, row, texts, asked=f"“{judged.items[row].title}”", shows_item=False) for row in queries]
    return [
        Strips(
            title=f"Like an item: image {IMAGE_WEIGHT:g}, text {1 - IMAGE_WEIGHT:g}",
            strips=by_item,
            note="The item and everything of its title or picture are left out.",
        ),
        Strips(title="Like a photograph", strips=by_photo),
        Strips(title="For a text", strips=by_text, note="By the texts of items; pictures are not asked."),
    ]


def both(judged: JudgedContent, *, image_weight: float = IMAGE_WEIGHT) -> FloatArray:
    """Image and text of each item in one space whose cosine is the weighted mean of theirs; shape (I, D + D)."""
    images, texts = judged.images[judged.best_image], judged.texts_ID
    joined = np.hstack([np.sqrt(image_weight) * images, np.sqrt(1.0 - image_weight) * texts])
    return unit_rows(joined).astype(np.float32)


def _strip(judged: JudgedContent, row: int, values_ID: FloatArray, *, asked: str, shows_item: bool = True) -> Strip:
    alike = np.flatnonzero(judged.groups == judged.groups[row])
    found = nearest(values_ID[row : row + 1], values_ID, _TOP, leave_out=lambda _: alike)[0]
    found = found[found >= 0]
    cosines = values_ID[found] @ values_ID[row]
    return Strip(
        query=asked,
        query_item_id=judged.items[row].item_id if shows_item else "",
        item_ids=[judged.items[place].item_id for place in found],
        captions=[_caption(judged, judged.items[place], cosine) for place, cosine in zip(found, cosines, strict=True)],
    )


def _caption(judged: JudgedContent, item: CatalogItem, cosine: float) -> str:
    return f"{cosine:.2f} {item.attributes.get(judged.class_name, '')}".strip()


def _spread(rows: IntArray, number: int) -> list[int]:
    """Some rows, from all over."""
    chosen = np.linspace(0, len(rows) - 1, min(number, len(rows))).astype(np.int64)
    return [int(rows[place]) for place in chosen]


def _broad(judged: JudgedContent) -> str:
    """The attribute whose few values a scatter can color."""
    counts = {name: len(set(judged.labels(name).tolist())) for name in ("masterCategory", "gender")}
    return next((name for name, number in counts.items() if number > 2), judged.class_name)
