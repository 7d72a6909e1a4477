"""How good an attribute model is, head by head, on a part of its examples (METHODS M11).

Every item that was given a value counts, those of values that are no class, too: the model is wrong there. Beside the
accuracy stand what always saying the most frequent value gets, and what a linear probe gets; beside the calibrated
confidence's error the one before (mmrec.evaluation.content_metrics.reliability).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from mmrec.catalog.values import folded
from mmrec.content.attribute_heads import AttributeHeads, Head
from mmrec.content.matrix import ContentMatrix
from mmrec.evaluation.content_metrics import (
    Confusion,
    Reliability,
    accuracy,
    confusion,
    knn_labels,
    macro_f1,
    majority_accuracy,
    reliability,
)
from mmrec.models.attribute_model import AttributeModelSettings
from mmrec.training.attribute_data import AttributeExamples
from mmrec.training.fit_attributes import AttributeFitConfig


@dataclass(frozen=True, kw_only=True, eq=False)
class HeadFigures:
    """One attribute on N items that have it."""

    num_items: int
    accuracy: float
    macro_f1: float
    majority: float
    """Accuracy of the most frequent value of the training part."""
    reliability: Reliability
    """Of calibrated confidences."""
    uncalibrated: Reliability
    """Of confidences at temperature 1."""
    confusion: Confusion

    def plain(self) -> dict[str, float]:
        """Numbers for a file."""
        return {
            "items": float(self.num_items),
            "accuracy": self.accuracy,
            "macro_f1": self.macro_f1,
            "majority": self.majority,
            "ece": self.reliability.error,
            "ece_uncalibrated": self.uncalibrated.error,
        }


def judged(heads: AttributeHeads, examples: AttributeExamples, part: str = "test") -> dict[str, HeadFigures]:
    """Figures of each head on a part, by attribute."""
    rows = examples.parts[part]
    content = rows_of(examples.content, rows)
    plain = replace(heads, heads={name: Head(classes=head.classes) for name, head in heads.heads.items()})
    calibrated, before = heads.probabilities(content), plain.probabilities(content)
    return {
        name: _figures(
            [folded(value) for value in head.classes],
            calibrated[name],
            before[name],
            given_N=np.array([examples.values[name][row] for row in rows.tolist()], dtype=object),
            train=[value for row in examples.parts["train"].tolist() if (value := examples.values[name][row])],
        )
        for name, head in heads.heads.items()
    }


def _figures(
    classes: list[str],
    chances_NC: npt.NDArray[np.float32],
    before_NC: npt.NDArray[np.float32],
    *,
    given_N: npt.NDArray[np.object_],
    train: list[str],
) -> HeadFigures:
    kept = given_N != ""
    given, best = given_N[kept].astype(str), chances_NC[kept].argmax(axis=1)
    said = np.array(classes, dtype=str)[best]
    right = said == given
    return HeadFigures(
        num_items=int(kept.sum()),
        accuracy=accuracy(given, said),
        macro_f1=macro_f1(given, said),
        majority=majority_accuracy(train, given),
        reliability=reliability(chances_NC[kept].max(axis=1, initial=0.0), right),
        uncalibrated=reliability(before_NC[kept].max(axis=1, initial=0.0), right),
        confusion=confusion(given, said),
    )


def neighbor_accuracy(
    vectors_IR: npt.NDArray[np.float32], examples: AttributeExamples, attribute: str, *, part: str = "test", k: int = 5
) -> float:
    """Share of a part's items whose value is the one of most of their k nearest items outside of the part.

    Args:
        vectors_IR: One row per item of the examples, such as AttributeHeads.embed() of them.
    """
    values = np.array(examples.values[attribute], dtype=object)
    asked = np.array([row for row in examples.parts[part].tolist() if values[row]], dtype=np.int64)
    others = np.concatenate([rows for name, rows in examples.parts.items() if name not in (part, "test")])
    gallery = others[values[others] != ""]
    found = knn_labels(vectors_IR[asked], vectors_IR[gallery], values[gallery].astype(str), k=k)
    return accuracy(values[asked].astype(str), found)


def linear_probe(config: AttributeFitConfig) -> AttributeFitConfig:
    """The same run of a model without a trunk: what the content vectors say by themselves."""
    bare = AttributeModelSettings(num_layers=0, dropout=0.0, input_dropout=0.0, modality_dropout=0.0, label_smoothing=0)
    return replace(config, model=bare)


def plain_figures(found: Mapping[str, HeadFigures], probe: Mapping[str, HeadFigures] | None = None) -> dict[str, Any]:
    """Figures for metrics.json: "accuracy.color" and so on, with the linear probe's accuracy where there is one."""
    figures = {f"{figure}.{name}": value for name, each in found.items() for figure, value in each.plain().items()}
    more = {f"linear_probe.{name}": each.accuracy for name, each in (probe or {}).items()}
    return {**figures, **more}


def rows_of(content: ContentMatrix, rows: npt.NDArray[np.int64]) -> ContentMatrix:
    """Some rows of a matrix, in that order."""
    return content.select([content.item_ids[row] for row in rows.tolist()])
