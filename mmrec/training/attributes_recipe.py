"""The recipe "attributes": an attribute model on the content and the attributes of a deployment (METHODS M11).

    python -m jobs.train --config mmrec.toml --task attributes --out attributes

Writes the model (mmrec.content.attribute_heads), report.json for the content report, curves.json and metrics.json;
`[content] attribute_model = "attributes"` puts it to use. The test part is looked at once, when fitting is over.
"""

import json
from dataclasses import dataclass, replace
from typing import Any

import torch

from mmrec.disk.files import replace_file
from mmrec.models.attribute_model import AttributeModelSettings, ClassWeights, TaskWeights
from mmrec.reports.findings import write_findings
from mmrec.training.attribute_data import AttributeDataConfig, AttributeExamples, attribute_examples
from mmrec.training.attribute_figures import judged, linear_probe, neighbor_accuracy, plain_figures
from mmrec.training.attribute_findings import attribute_findings
from mmrec.training.checkpoint import METRICS
from mmrec.training.fit_attributes import AttributeFit, AttributeFitConfig
from mmrec.training.recipe import DeploymentData, Desk, Recipe
from mmrec.wire.declared import AtLeastOne, Count, check

STATE = "attributes.pt"
DEFAULTS = AttributeFitConfig()


@dataclass(frozen=True, kw_only=True)
class AttributeOptions:
    """What can be asked for."""

    attributes: tuple[str, ...] = ()
    """Attributes to learn; empty takes every one that is a category."""
    modalities: tuple[str, ...] = ()
    """What the model reads; empty takes everything but the attributes themselves."""
    class_weights: ClassWeights = DEFAULTS.model.class_weights
    """What makes up for rare values."""
    task_weights: TaskWeights = DEFAULTS.model.task_weights
    """Whether attributes count alike or as the fit finds."""
    hidden_dim: AtLeastOne = DEFAULTS.model.hidden_dim
    epochs: AtLeastOne = DEFAULTS.max_epochs
    """Most epochs; fitting ends earlier where nothing is gained."""
    patience: AtLeastOne = DEFAULTS.patience
    seed: Count = DEFAULTS.seed

    def __post_init__(self) -> None:
        check(self, "training.attributes")

    @property
    def config(self) -> AttributeFitConfig:
        """The whole run."""
        model = AttributeModelSettings(
            class_weights=self.class_weights, task_weights=self.task_weights, hidden_dim=self.hidden_dim
        )
        data = AttributeDataConfig(attributes=self.attributes, modalities=self.modalities, seed=self.seed)
        return replace(DEFAULTS, data=data, model=model, max_epochs=self.epochs, patience=self.patience, seed=self.seed)


def examples_of(options: AttributeOptions, data: DeploymentData) -> AttributeExamples:
    """The examples of a deployment."""
    content = data.content()
    return attribute_examples(content, data.entries(content.item_ids), options.config.data)


def prepare(options: AttributeOptions, data: DeploymentData) -> str:
    """What the run works on: the items and their labels, and the configuration; refuses a catalogue without any."""
    examples = examples_of(options, data)
    return f"{examples.fingerprint} {options.config}"


def train(desk: Desk) -> None:
    """Epochs in one worker: a model this small gains nothing from a second one."""
    options, config = desk.options, desk.options.config
    examples = examples_of(options, desk.data)
    fit = AttributeFit(examples, config)
    if desk.checkpoint is not None:
        fit.restore(torch.load(desk.checkpoint / STATE, map_location="cpu", weights_only=True))
        desk.tell("resumed", {"epoch": fit.epoch})
    while not fit.is_over:
        figures = fit.run_epoch()
        desk.tell("attributes_epoch", figures)
        desk.save(figures, lambda folder: torch.save(fit.state(), folder / STATE))
    _write(desk, fit, examples)


def _write(desk: Desk, fit: AttributeFit, examples: AttributeExamples) -> None:
    """The model, what it is worth on the test part, and what the report says of it; its figures last."""
    heads, probe = fit.refitted(), AttributeFit(examples, linear_probe(desk.options.config))
    while not probe.is_over:
        probe.run_epoch()
    found, compared = judged(heads, examples), judged(probe.refitted(), examples)
    metrics: dict[str, Any] = {**plain_figures(found, compared), "best_epoch": fit.best_epoch}
    space = heads.attribute_space(examples.content)
    metrics |= {f"neighbors.{name}": neighbor_accuracy(space, examples, name) for name in examples.attributes}
    replace(heads, notes={**heads.notes, "figures": metrics}).save(desk.out)
    facts = {
        "items": f"{len(examples.content):,}",
        **{f"{part} part": f"{len(rows):,}" for part, rows in examples.parts.items()},
        **{modality: examples.content.encoders[modality] for modality in examples.modalities},
        **{f"{name} is left out": why for name, why in examples.left_out.items()},
        "seed": str(desk.options.seed),
        "best epoch": str(fit.best_epoch),
    }
    said = attribute_findings(found, probe=compared, curves=fit.curves, figures=metrics, facts=facts)
    write_findings(desk.out, said)
    (desk.out / "curves.json").write_text(json.dumps({"epochs": fit.curves}), encoding="utf-8")
    replace_file(desk.out / METRICS, json.dumps(metrics, indent=1))


ATTRIBUTES = Recipe(name="attributes", options=AttributeOptions, prepare=prepare, train=train, in_one_worker=True)
