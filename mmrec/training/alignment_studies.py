"""What the parts of an alignment's training change, one at a time (paper S1 of METHODS; METHODS M14, M20, M23, M38).

    studies(pairs, config, data, tell=print)        parts of a report; some minutes for ten thousand items

Each study fits one pair of heads per variant on the same MAX_TRAIN items, with the same seed and number of epochs, and
differs in the one thing it is about. Pictures are altered, and encoded again, for MAX_PICTURES items.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from mmrec.content.alignment import IMAGE, TEXT, AlignmentModel
from mmrec.evaluation.content_metrics import first_right_ranks
from mmrec.evaluation.metrics import hit_rate
from mmrec.models.alignment import Aligner, exported
from mmrec.reports.findings import AnyPart, Histograms, Table, Text
from mmrec.training.alignment_data import AlignmentPairs
from mmrec.training.alignment_figures import curves_part, recalls, similarity_histogram
from mmrec.training.altered_items import AlteredItems, altered_items
from mmrec.training.fit_alignment import AlignmentFit, AlignmentFitConfig
from mmrec.training.recipe import DeploymentData

Rows = npt.NDArray[np.int64]
MAX_TRAIN: Final = 2_000
MAX_EPOCHS: Final = 8
MAX_PICTURES: Final = 300
"""Training items, and as many of the test items, whose pictures are altered and encoded again."""
UNSEEN_SHARE: Final = 0.15
"""Share of the labels whose items are held out whole."""
EDGES: Final = np.linspace(-0.25, 0.25, 81)
TECHNIQUES: Final[Mapping[str, Mapping[str, float]]] = {
    "none": {"dropout": 0.0, "input_dropout": 0.0, "weight_decay": 0.0, "l1": 0.0},
    "dropout": {"dropout": 0.5, "input_dropout": 0.2, "weight_decay": 0.0, "l1": 0.0},
    "L2": {"dropout": 0.0, "input_dropout": 0.0, "weight_decay": 1.0, "l1": 0.0},
    "L1": {"dropout": 0.0, "input_dropout": 0.0, "weight_decay": 0.0, "l1": 30.0},
}
"""Regularization (METHODS M23) by name."""


def studies(
    pairs: AlignmentPairs, config: AlignmentFitConfig, data: DeploymentData, *, tell: Callable[[str, Any], None]
) -> list[AnyPart]:
    """All studies.

    Args:
        pairs: The items; studies train on a draw of their training part.
        config: How heads are fitted; epochs are MAX_EPOCHS at most.
        data: Where pictures come from; without any, the studies that alter them say so.
        tell: Told of each study that is done, and how long it took.
    """
    drawn = fewer(pairs, seed=config.seed)
    # Every variant runs all epochs: a curve that ends early compares with nothing.
    epochs = min(MAX_EPOCHS, config.max_epochs)
    config = replace(config, max_epochs=epochs, patience=epochs, view_weight=0.0)
    parts: list[AnyPart] = []
    for study in (temperatures, regularization):
        started_s = time.monotonic()
        parts += study(drawn, config)
        tell("studied", {"study": study.__name__, "seconds": time.monotonic() - started_s})
    started_s = time.monotonic()
    rows = np.concatenate([drawn.parts[part][:MAX_PICTURES] for part in ("train", "test")])
    altered = altered_items(drawn, data.items(), rows, seed=config.seed, cleaning=data.settings.content.text_cleaning)
    tell("altered", {"items": len(altered.rows), "seconds": time.monotonic() - started_s})
    if not set(altered.rows) & set(drawn.parts["train"]) or not set(altered.rows) & set(drawn.parts["test"]):
        reason = "No pictures to alter: the catalogue's topic holds none of these items' pictures themselves."
        return [*parts, Text(title="Augmentation and cluttered backgrounds", paragraphs=[reason])]
    for with_altered in (augmentation, cluttered_backgrounds):
        started_s = time.monotonic()
        parts += with_altered(altered, config)
        tell("studied", {"study": with_altered.__name__, "seconds": time.monotonic() - started_s})
    return parts


def fewer(pairs: AlignmentPairs, *, seed: int) -> AlignmentPairs:
    """The same pairs with at most MAX_TRAIN training rows, drawn at random."""
    train = np.random.default_rng(seed).permutation(pairs.parts["train"])[:MAX_TRAIN]
    return replace(pairs, parts={**pairs.parts, "train": np.sort(train)})


def fitted(pairs: AlignmentPairs, config: AlignmentFitConfig, views: Any = None) -> tuple[AlignmentFit, AlignmentModel]:
    """A fit after its last epoch, and what it made."""
    fit = AlignmentFit(pairs, config, views=views)
    while not fit.is_over:
        fit.run_epoch()
    last: Aligner = fit.model.cpu().eval()
    return fit, exported([last], fit.projections, encoders=pairs.encoders)


def temperatures(pairs: AlignmentPairs, config: AlignmentFitConfig) -> list[AnyPart]:
    """Fixed against learned temperature: similarities of right and wrong pairs, and what is found."""
    variants = {
        "learned": config,
        "fixed at 0.07": replace(config, learned_temperature=False),
        "fixed at 0.5": replace(config, learned_temperature=False, temperature=0.5),
    }
    histograms: list[AnyPart] = []
    rows: list[list[float | str]] = []
    curves = {}
    for name, variant in variants.items():
        fit, model = fitted(pairs, variant)
        histograms.append(similarity_histogram(f"Similarities, temperature {name}", model, pairs))
        rows.append([name, fit.curves[-1]["temperature"], *recalls(model, pairs, pairs.parts["test"]).values()])
        curves[name] = [(curve["epoch"], curve["temperature"]) for curve in fit.curves]
    columns = ["temperature", "at the end", *recalls_columns()]
    return [
        *histograms,
        Table(title="Fixed and learned temperature, test items", columns=columns, rows=rows),
        curves_part("Temperature while training", "tau", curves),
    ]


def regularization(pairs: AlignmentPairs, config: AlignmentFitConfig) -> list[AnyPart]:
    """Loss with and without dropout, L2 and L1, and how large weights become."""
    curves: dict[str, list[tuple[float, float]]] = {}
    rows: list[list[float | str]] = []
    counts = {}
    for name, values in TECHNIQUES.items():
        model_settings = replace(config.model, dropout=values["dropout"], input_dropout=values["input_dropout"])
        variant = replace(config, model=model_settings, weight_decay=values["weight_decay"], l1=values["l1"])
        fit, model = fitted(pairs, variant)
        for loss, shown in (("loss", "training"), ("validation_loss", "validation")):
            curves[f"{name}, {shown}"] = [(curve["epoch"], curve[loss]) for curve in fit.curves]
        weights = np.concatenate([p.detach().numpy().ravel() for p in fit.model.parameters() if p.ndim == 2])
        counts[name] = np.histogram(np.clip(weights, EDGES[0], EDGES[-1]), EDGES)[0].tolist()
        rows.append([name, float(np.abs(weights).mean()), *recalls(model, pairs, pairs.parts["test"]).values()])
    columns = ["technique", "mean |w|", *recalls_columns()]
    return [
        curves_part("Loss with and without regularization", "InfoNCE", curves),
        Histograms(title="Weights by regularization technique", x="weight", edges=EDGES.tolist(), counts=counts),
        Table(title="Regularization, test items", columns=columns, rows=rows),
    ]


def augmentation(altered: AlteredItems, config: AlignmentFitConfig) -> list[AnyPart]:
    """Accuracy with and without altered copies, on labels that were trained on and on labels that never were."""
    pairs, labels = altered.pairs, np.array(altered.pairs.labels)
    names = sorted({label for label in labels[pairs.parts["train"]] if label})
    drawn = np.random.default_rng(config.seed).permutation(names)
    unseen = np.isin(labels, drawn[: max(1, round(UNSEEN_SHARE * len(names)))]) if len(names) > 1 else labels == "\n"
    known = np.intersect1d(altered.rows, pairs.parts["train"])
    trained = replace(pairs, parts={**pairs.parts, "train": known[~unseen[known]]})
    rows: list[list[float | str]] = []
    curves = {}
    for name, views in (("without", None), ("with", altered.views("augmented"))):
        fit, model = fitted(trained, config, views)
        curves[name] = [(curve["epoch"], curve["recall_at_10"]) for curve in fit.curves]
        test = pairs.parts["test"]
        for shown, chosen in (("seen", test[~unseen[test]]), ("unseen", test[unseen[test]])):
            if len(chosen) > 1:
                rows.append([name, shown, float(len(chosen)), *recalls(model, pairs, chosen).values()])
    note = (
        f"trained on {len(trained.parts['train'])} items, altered in picture and text half of the time or never; "
        f"unseen: {UNSEEN_SHARE:.0%} of the labels, whose items were held out whole; each among its own kind"
    )
    columns = ["augmentation", "labels", "gallery", *recalls_columns()]
    return [
        Table(title="Accuracy with and without augmentation", note=note, columns=columns, rows=rows),
        curves_part("Validation with and without augmentation", "recall@10", curves),
    ]


def cluttered_backgrounds(altered: AlteredItems, config: AlignmentFitConfig) -> list[AnyPart]:
    """Photographs of products amid clutter as queries, before and after training with such views."""
    pairs, test = altered.pairs, np.intersect1d(altered.rows, altered.pairs.parts["test"])
    place = np.searchsorted(altered.rows, test)
    photographs, groups = altered.values["cluttered", IMAGE][place], pairs.groups_N[test]
    rows: list[list[float | str]] = []
    for name, views in (("studio pictures", None), ("pictures on clutter, too", altered.views("cluttered"))):
        _, model = fitted(pairs, config, views)
        studio = model.embed_images(pairs.inputs[IMAGE][test])
        texts = model.embed_texts(pairs.inputs[TEXT][test])
        asked = {"studio": studio, "clutter": model.embed_images(photographs)}
        for query, vectors in asked.items():
            found = [
                hit_rate(first_right_ranks(vectors, gallery, query_keys=groups, gallery_keys=groups), 10)
                for gallery in (texts, studio)
            ]
            rows.append([name, query, *found])
    note = f"{len(test)} test items; a product cut out of its white background stands before a made, busy one"
    columns = ["trained on", "query", "texts: recall@10", "studio pictures: recall@10"]
    return [Table(title="Products photographed amid clutter", note=note, columns=columns, rows=rows)]


def recalls_columns() -> Sequence[str]:
    """Names of what recalls() gives, in its order."""
    return ["text to image", "strict", "image to text", "strict"]
