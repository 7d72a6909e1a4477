"""What a run of the recipes "attributes" and "finetune" has to say, for the content report (METHODS M10, M11)."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from mmrec.evaluation.content_metrics import Confusion
from mmrec.reports.findings import AnyPart, Calibration, Curves, Figures, Findings, Heat, Line, Table
from mmrec.training.attribute_figures import HeadFigures

MAX_SHOWN: Final = 30
"""Labels of a confusion that are drawn, the most frequent ones."""


def attribute_findings(
    found: Mapping[str, HeadFigures],
    *,
    probe: Mapping[str, HeadFigures],
    curves: Sequence[Mapping[str, Any]],
    figures: Mapping[str, Any],
    facts: Mapping[str, str],
) -> Findings:
    """Heads beside majority and linear probe, curves per attribute, the worst head's confusion, calibration.

    Args:
        found: Figures of the test part by attribute.
        probe: The same of a linear probe.
        curves: One mapping per epoch, as AttributeFit keeps them.
        figures: Of metrics.json; those of neighbors are shown.
        facts: What the run depends on.
    """
    worst = min(found, key=lambda name: found[name].accuracy)
    heads = Table(
        title="Heads on held-out products",
        note="Items of one title or picture never stand in two parts; every given value counts, rare ones too.",
        columns=(
            *("attribute", "items", "accuracy", "linear probe", "majority", "macro F1"),
            *("calibration error before", "after"),
        ),
        rows=[
            (
                *(name, each.num_items, _short(each.accuracy), _short(probe[name].accuracy), _short(each.majority)),
                *(_short(each.macro_f1), _short(each.uncalibrated.error), _short(each.reliability.error)),
            )
            for name, each in found.items()
        ],
    )
    neighbors = {name.partition(".")[2]: value for name, value in figures.items() if name.startswith("neighbors.")}
    parts: list[AnyPart] = [
        heads,
        Figures(
            title="5 nearest neighbors in the model's space",
            note="Share of held-out products whose value most of their neighbors among the other products have.",
            values={name: _short(value) for name, value in neighbors.items()},
        ),
        epoch_curves("Loss on the training part", "cross-entropy", curves, "loss."),
        epoch_curves("Loss on the validation part", "negative log-likelihood", curves, "validation_loss."),
        epoch_curves("Accuracy on the validation part", "accuracy", curves, "accuracy."),
        confusion_heat(f"What {worst}, the hardest attribute, is taken for", found[worst].confusion),
    ]
    for name, each in found.items():
        curve = each.reliability
        parts.append(
            Calibration(
                title=f"Confidence of {name}",
                note=f"After temperature scaling; before it the error was {each.uncalibrated.error:.3f}.",
                confidence=curve.confidence_B.tolist(),
                accuracy=curve.accuracy_B.tolist(),
                counts=curve.counts_B.tolist(),
                error=curve.error,
            )
        )
    command = "python -m jobs.train --task attributes --out ..."
    return Findings(title="Attribute model", command=command, facts=facts, parts=parts)


def finetune_findings(
    figures: Mapping[str, Any], *, curves: Sequence[Mapping[str, Any]], facts: Mapping[str, str]
) -> Findings:
    """Nearest neighbors by the vectors before and after, and curves.

    Args:
        figures: Of metrics.json.
        curves: One mapping per epoch, as FineTuneFit keeps them.
        facts: What the run depends on.
    """
    names = [name.partition(".")[2] for name in figures if name.startswith("neighbors_before.")]
    table = Table(
        title="5 nearest neighbors of held-out pictures, before and after",
        note="Only what stands higher after was helped.",
        columns=("attribute", "before", "after", "head"),
        rows=[
            (name, *(_short(figures[f"{kind}.{name}"]) for kind in ("neighbors_before", "neighbors_after", "accuracy")))
            for name in names
        ],
    )
    loss = Line(name="training part", xs=[c["epoch"] for c in curves], ys=[c["loss"] for c in curves])
    parts: list[AnyPart] = [
        table,
        Curves(title="Loss", x="epoch", y="cross-entropy", lines=[loss]),
        epoch_curves("Accuracy on the validation part", "accuracy", curves, "accuracy."),
    ]
    command = "python -m jobs.train --task finetune --out ..."
    return Findings(title="Fine-tuning of the image encoder", command=command, facts=facts, parts=parts)


def epoch_curves(title: str, y: str, curves: Sequence[Mapping[str, Any]], prefix: str) -> Curves:
    """A line per attribute, of figures "<prefix><attribute>"."""
    names = [name for name in curves[0] if name.startswith(prefix)]
    epochs = [float(figures["epoch"]) for figures in curves]
    lines = [
        Line(name=name.removeprefix(prefix), xs=epochs, ys=[float(figures[name]) for figures in curves])
        for name in names
    ]
    return Curves(title=title, x="epoch", y=y, lines=lines)


def confusion_heat(title: str, confusion: Confusion) -> Heat:
    """A confusion of its most frequent labels."""
    often = np.argsort(-confusion.counts_CC.sum(axis=1), kind="stable")[:MAX_SHOWN]
    labels = [str(confusion.labels[code]) for code in often.tolist()]
    counts = confusion.counts_CC[np.ix_(often, often)].tolist()
    note = f"The {len(labels)} most frequent of {len(confusion.labels)} values; colors are shares of the row."
    return Heat(
        title=title,
        note=note,
        row_name="given",
        column_name="said",
        rows=labels,
        columns=labels,
        values=counts,
        by_row=True,
    )


def _short(value: float) -> float:
    return round(float(value), 4)
