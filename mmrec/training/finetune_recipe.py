"""The recipe "finetune": the image encoder, trained on a catalogue's attributes or on labelled pictures (METHODS M10).

    python -m jobs.train --config mmrec.toml --task finetune --out tuned
    python -m jobs.train --config mmrec.toml --task finetune --out tuned --idx-folder fashion-mnist

Writes an encoder that a deployment names by folder (`[content] image_encoder = "./tuned"`, or "./tuned+color-lab") and
metrics.json: accuracy of 5 nearest neighbors on the test part by the vectors before and after, so that it can be seen
whether it helped. It has a fingerprint of its own: vectors of the one never meet those of the other.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from mmrec.catalog.item import CatalogEntry, catalog_entry
from mmrec.catalog.pictures import BrokenPictureError, read_picture
from mmrec.content.matrix import ContentMatrix
from mmrec.content.modalities.image import SIZE, EfficientNetLite0Encoder
from mmrec.content.tuned_image import save_tuned
from mmrec.disk.files import replace_file
from mmrec.errors import ConfigurationError
from mmrec.home import cache_folder
from mmrec.reports.findings import write_findings
from mmrec.training.attribute_data import AttributeDataConfig, AttributeExamples, attribute_examples
from mmrec.training.attribute_figures import neighbor_accuracy
from mmrec.training.attribute_findings import finetune_findings
from mmrec.training.checkpoint import METRICS
from mmrec.training.finetune import FineTuneConfig, FineTuneFit, lower_outputs
from mmrec.training.idx_files import read_labelled_pictures
from mmrec.training.recipe import DeploymentData, Desk, FileOrFolder, Recipe
from mmrec.wire.declared import AtLeastOne, Count, Positive, check

STATE = "finetune.pt"
DEFAULTS = FineTuneConfig()


@dataclass(frozen=True, kw_only=True)
class FineTuneOptions:
    """What can be asked for."""

    attributes: tuple[str, ...] = ()
    """Attributes to learn; empty takes every one that is a category."""
    idx_folder: FileOrFolder = ""
    """Folder of labelled pictures in the form of Fashion-MNIST, instead of the catalogue."""
    max_pictures: AtLeastOne = 20_000
    """The first so many; each takes 38 KB of the cache folder while one block is trained."""
    num_upper: AtLeastOne = DEFAULTS.num_upper
    """Blocks that are trained."""
    epochs: AtLeastOne = DEFAULTS.max_epochs
    """Most epochs; fitting ends earlier where nothing is gained."""
    learning_rate: Positive = DEFAULTS.learning_rate
    seed: Count = DEFAULTS.seed

    def __post_init__(self) -> None:
        check(self, "training.finetune")

    @property
    def config(self) -> FineTuneConfig:
        """The fit."""
        return replace(
            DEFAULTS,
            num_upper=self.num_upper,
            max_epochs=self.epochs,
            learning_rate=self.learning_rate,
            seed=self.seed,
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelledPicture:
    """One picture as encoders read it, with its item's serving fields."""

    pixels: bytes
    """The file, or for labelled pictures the raw gray bytes."""
    entry: CatalogEntry


def labelled_pictures(options: FineTuneOptions, data: DeploymentData) -> Iterator[LabelledPicture]:
    """Pictures of the folder, or of the catalogue; those that cannot be read are left out."""
    if options.idx_folder:
        pictures, labels = read_labelled_pictures(Path(options.idx_folder))
        for number, (gray, label) in enumerate(zip(pictures, labels.tolist(), strict=True)):
            file = BytesIO()
            Image.fromarray(gray).convert("RGB").save(file, "PNG")
            entry = CatalogEntry(item_id=f"idx{number:07d}", attributes={"label": str(label)})
            yield LabelledPicture(pixels=file.getvalue(), entry=entry)
        return
    for item in data.items():
        if item.image:
            yield LabelledPicture(pixels=item.image, entry=catalog_entry(item))


def _readable(options: FineTuneOptions, data: DeploymentData) -> Iterator[tuple[LabelledPicture, Any]]:
    """Pictures that decode, with their pixels (224, 224, 3)."""
    for each in labelled_pictures(options, data):
        try:
            yield each, read_picture(each.pixels, size=SIZE)
        except BrokenPictureError:
            continue


@dataclass(frozen=True, kw_only=True, eq=False)
class _Inputs:
    """The examples of a run, and which pictures they are of."""

    examples: AttributeExamples
    identity: str


def _inputs(options: FineTuneOptions, data: DeploymentData) -> _Inputs:
    found = [
        (each.entry, sha256(each.pixels).hexdigest())
        for each, _ in islice(_readable(options, data), options.max_pictures)
    ]
    if not found:
        raise ConfigurationError("no item has a picture that can be read; import or encode a catalogue with pictures")
    entries = {entry.item_id: entry for entry, _ in found}
    digests = [digest for _, digest in found]
    # Vectors are not read: pictures are tied together by their bytes.
    content = ContentMatrix(
        item_ids=tuple(entry.item_id for entry, _ in found),
        values={"image": np.arange(len(found), dtype=np.float32)[:, None]},
        present={"image": np.ones(len(found), dtype=np.bool_)},
        encoders={"image": "row"},
    )
    config = AttributeDataConfig(attributes=options.attributes, seed=options.seed)
    examples = attribute_examples(content, entries, config, groups=[digests])
    identity = sha256(" ".join([*digests, examples.fingerprint]).encode()).hexdigest()[:24]
    return _Inputs(examples=examples, identity=identity)


def prepare(options: FineTuneOptions, data: DeploymentData) -> str:
    """What the run works on: pictures, labels and options; refuses a catalogue without pictures or attributes."""
    return f"{_inputs(options, data).identity} {options}"


def train(desk: Desk) -> None:
    """Epochs in one worker: the lower half is most of the work, and made once."""
    options, config = desk.options, desk.options.config
    inputs = _inputs(options, desk.data)
    examples, network = inputs.examples, EfficientNetLite0Encoder().network
    kept = cache_folder() / "finetune" / f"{inputs.identity}-{config.num_upper}-{config.seed}"
    pixels = (picture for _, picture in islice(_readable(options, desk.data), options.max_pictures))
    trained_N = np.zeros(len(examples.content), dtype=np.bool_)
    trained_N[examples.parts["train"]] = True
    lower = lower_outputs(
        pixels, network, mirrored_N=trained_N, num_upper=config.num_upper, folder=kept, tell=desk.tell
    )
    fit = FineTuneFit(lower, examples, network, config)
    before = _neighbors(fit.embeddings(), examples)
    if desk.checkpoint is not None:
        fit.restore(torch.load(desk.checkpoint / STATE, map_location="cpu", weights_only=True))
        desk.tell("resumed", {"epoch": fit.epoch})
    while not fit.is_over:
        figures = fit.run_epoch()
        desk.tell("finetune_epoch", figures)
        desk.save(figures, lambda folder: torch.save(fit.state(), folder / STATE))
    fit.keep_best()
    after = _neighbors(fit.embeddings(), examples)
    metrics: dict[str, Any] = {"best_epoch": fit.best_epoch, "pictures": len(examples.content)}
    metrics |= {f"neighbors_before.{name}": value for name, value in before.items()}
    metrics |= {f"neighbors_after.{name}": value for name, value in after.items()}
    metrics |= {f"accuracy.{name}": value for name, value in fit.accuracies(examples.parts["test"]).items()}
    facts = {
        "pictures": f"{len(examples.content):,}",
        "labels": options.idx_folder or "attributes of the catalogue",
        "trained blocks": str(config.num_upper),
        "seed": str(config.seed),
    }
    write_findings(desk.out, finetune_findings(metrics, curves=fit.curves, facts=facts))
    save_tuned(desk.out, network, {"num_upper": config.num_upper, "seed": config.seed, "figures": metrics})
    (desk.out / "curves.json").write_text(json.dumps({"epochs": fit.curves}), encoding="utf-8")
    replace_file(desk.out / METRICS, json.dumps(metrics, indent=1))


def _neighbors(vectors_ND: npt.NDArray[np.float32], examples: AttributeExamples) -> dict[str, float]:
    return {name: neighbor_accuracy(vectors_ND, examples, name) for name in examples.attributes}


FINETUNE = Recipe(name="finetune", options=FineTuneOptions, prepare=prepare, train=train, in_one_worker=True)
