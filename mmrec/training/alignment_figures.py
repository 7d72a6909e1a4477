"""What an alignment is worth, on items that nothing was fitted or chosen on (METHODS M19, M33).

recall@10, texts to pictures   the test items' texts are asked for among the pictures of `gallery` test items; a hit is
                               any picture of an item of the query's group: of its title or picture, in a chain
... strict                     a hit is the very item's picture; others of its title stand in the way
... untrained                  the same heads before training, which is chance
knn5_frozen, knn5_aligned      share of test items whose five nearest training pictures say their label by majority: by
                               the encoder's vectors, and by the aligned ones; pictures alone
knn5_aligned_items             the same among training items as they stand in the catalogue, with picture and text: what
                               a photograph finds
Ties share the middle of their ranks (mmrec.evaluation.content_metrics). Axes: G items of the gallery.
"""

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from mmrec.content.alignment import IMAGE, TEXT, AlignmentModel
from mmrec.content.matrix import FloatArray
from mmrec.evaluation.content_metrics import accuracy, first_right_ranks, knn_labels
from mmrec.evaluation.metrics import hit_rate
from mmrec.reports.findings import AnyPart, Curves, Figures, Histograms, Line, Strip, Strips
from mmrec.training.alignment_data import AlignmentPairs

Rows = npt.NDArray[np.int64]
DEPTH: Final = 10
NUM_BINS: Final = 60
NUM_STRIPS, STRIP_LENGTH = 6, 5
DIRECTIONS: Final = {"text_to_image": (TEXT, IMAGE), "image_to_text": (IMAGE, TEXT)}


class Embeds(Protocol):
    """What brings pictures and texts into one space."""

    def embed(self, modality: str, vectors_NX: FloatArray) -> FloatArray:
        """Unit vectors, shape (N, D), of what an encoder made of pictures or texts."""
        ...


def gallery_rows(pairs: AlignmentPairs, *, gallery: int, seed: int) -> Rows:
    """Test rows that are searched, drawn at random, ascending."""
    test = pairs.parts["test"]
    return np.sort(np.random.default_rng(seed).permutation(test)[:gallery])


def recalls(model: Embeds, pairs: AlignmentPairs, rows: Rows) -> dict[str, float]:
    """recall@10 both ways among `rows`, by name; of the group, and strict."""
    found = {modality: model.embed(modality, values) for modality, values in pairs.of(rows).items()}
    groups, figures = pairs.groups_N[rows], {}
    for name, (asked, searched) in DIRECTIONS.items():
        for suffix, keys in (("", groups), ("_strict", rows)):
            ranks = first_right_ranks(found[asked], found[searched], query_keys=keys, gallery_keys=keys)
            figures[f"{name}_recall_at_{DEPTH}{suffix}"] = hit_rate(ranks, DEPTH)
    return figures


def label_accuracy(pairs: AlignmentPairs, asked_ND: FloatArray, searched_ND: FloatArray) -> float:
    """Share of labelled test items whose five nearest labelled training items say their label; 0 where there are none.

    Args:
        pairs: N items.
        asked_ND: A vector per item, of which those of test items ask.
        searched_ND: A vector per item, of which those of training items are searched.
    """
    labels = np.array(pairs.labels)
    train, test = (rows[labels[rows] != ""] for rows in (pairs.parts["train"], pairs.parts["test"]))
    if not len(train) or not len(test):
        return 0.0
    return accuracy(labels[test], knn_labels(asked_ND[test], searched_ND[train], labels[train]))


def alignment_figures(
    model: AlignmentModel, untrained: AlignmentModel, pairs: AlignmentPairs, *, gallery: int, seed: int
) -> dict[str, float]:
    """All figures by name.

    Args:
        model: The trained alignment.
        untrained: The same before its first step.
        pairs: What it was trained on.
        gallery: Most test items among which one is looked for.
        seed: Of the draw of those.
    """
    rows = gallery_rows(pairs, gallery=gallery, seed=seed)
    before = recalls(untrained, pairs, rows)
    frozen = pairs.inputs[IMAGE]
    images = model.embed_images(frozen)
    return {
        **recalls(model, pairs, rows),
        **{f"{name}_untrained": before[name] for name in before if not name.endswith("_strict")},
        "chance": min(1.0, DEPTH / len(rows)),
        "gallery": float(len(rows)),
        "knn5_frozen": label_accuracy(pairs, frozen, frozen),
        "knn5_aligned": label_accuracy(pairs, images, images),
        "knn5_aligned_items": label_accuracy(pairs, images, images + model.embed_texts(pairs.inputs[TEXT])),
    }


def similarities(model: Embeds, pairs: AlignmentPairs, rows: Rows) -> tuple[FloatArray, FloatArray]:
    """Cosines of pictures with texts among `rows`: of the same item or group, and of all others."""
    found = pairs.of(rows)
    cosines = model.embed(TEXT, found[TEXT]) @ model.embed(IMAGE, found[IMAGE]).T
    alike = pairs.groups_N[rows][:, None] == pairs.groups_N[rows][None, :]
    return cosines[alike], cosines[~alike]


def similarity_histogram(title: str, model: Embeds, pairs: AlignmentPairs, *, note: str = "") -> Histograms:
    """S1's figure: cosines of right and wrong pairs of test items."""
    positives, negatives = similarities(model, pairs, gallery_rows(pairs, gallery=500, seed=0))
    edges = np.linspace(-1.0, 1.0, NUM_BINS + 1)
    counts = {
        name: np.histogram(np.clip(values, -1, 1), edges)[0].tolist()
        for name, values in (("positives", positives), ("negatives", negatives))
    }
    return Histograms(title=title, note=note, x="cosine of a text and a picture", edges=edges.tolist(), counts=counts)


def curves_part(title: str, y: str, curves: Mapping[str, Sequence[tuple[float, float]]], *, note: str = "") -> Curves:
    """Curves over epochs; (epoch, value) by name."""
    lines = [Line(name=n, xs=[x for x, _ in points], ys=[v for _, v in points]) for n, points in curves.items()]
    return Curves(title=title, note=note, x="epoch", y=y, lines=lines, from_zero=False)


def figure_parts(
    model: AlignmentModel,
    untrained: AlignmentModel,
    pairs: AlignmentPairs,
    curves: Sequence[Sequence[Mapping[str, float]]],
    figures: Mapping[str, float],
) -> list[AnyPart]:
    """What every training reports: figures, similarities before and after, loss, temperature, and lists for titles."""
    first = curves[0]

    def of(name: str) -> list[tuple[float, float]]:
        return [(curve["epoch"], curve[name]) for curve in first]

    return [
        Figures(
            title="Retrieval and neighbors on held-out items",
            note="a hit is any item of the query's title or picture; strict: the very item; ties share their ranks",
            values=dict(figures),
        ),
        similarity_histogram("Similarities before alignment", untrained, pairs, note="heads as they are initialized"),
        similarity_histogram("Similarities after alignment", model, pairs),
        curves_part("Loss", "InfoNCE", {"training": of("loss"), "validation": of("validation_loss")}),
        curves_part("Learned temperature", "tau", {"tau": of("temperature")}),
        curves_part("Retrieval on validation items", "recall@10", {"both ways": of("recall_at_10")}),
        strips(model, pairs),
    ]


def strips(model: AlignmentModel, pairs: AlignmentPairs) -> Strips:
    """Photographs that some test items' texts find."""
    rows = gallery_rows(pairs, gallery=500, seed=0)
    found = pairs.of(rows)
    cosines = model.embed_texts(found[TEXT][:NUM_STRIPS]) @ model.embed_images(found[IMAGE]).T
    made = []
    for query, row in enumerate(cosines):
        best = np.argsort(-row, kind="stable")[:STRIP_LENGTH]
        made.append(
            Strip(
                query=f"the text of item {pairs.item_ids[rows[query]]}",
                query_item_id=pairs.item_ids[rows[query]],
                item_ids=[pairs.item_ids[rows[place]] for place in best],
                captions=[f"{row[place]:.2f}" for place in best],
            )
        )
    return Strips(title="Pictures found by the texts of held-out items", strips=made)
