"""The recipe "align": pictures and texts of the catalogue into one space (METHODS M19, M20).

    python -m jobs.train --config mmrec.toml --task align --out alignment
    python -m jobs.train --config mmrec.toml --task align --out alignment --studies      and what its parts are worth

Reads the vectors that encode_items wrote; encoders are frozen. Leaves alignment.npz and alignment.json (what
mmrec.content.alignment reads), curves.json, report.json, and metrics.json last. How figures are counted:
mmrec.training.alignment_figures.
"""

import json
from dataclasses import asdict, dataclass, replace
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from msgspec import Meta

from mmrec.content.alignment import SIDES
from mmrec.disk.files import replace_file
from mmrec.errors import ConfigurationError
from mmrec.models.alignment import Aligner, AlignmentSettings, exported
from mmrec.models.settings import Dropped
from mmrec.reports.findings import Findings, write_findings
from mmrec.training.alignment_data import AlignmentPairs, alignment_pairs
from mmrec.training.alignment_figures import alignment_figures, figure_parts
from mmrec.training.alignment_studies import studies
from mmrec.training.altered_items import altered_items
from mmrec.training.checkpoint import METRICS
from mmrec.training.fit_alignment import AlignmentFit, AlignmentFitConfig, Views
from mmrec.training.recipe import DeploymentData, Desk, Recipe
from mmrec.wire.declared import AtLeastOne, Count, Name, NotNegative, Positive, Share, check

STATE, CURVES = "alignment.pt", "curves.json"
MODEL, FIT = AlignmentSettings(), AlignmentFitConfig()


@dataclass(frozen=True, kw_only=True)
class AlignOptions:
    """What can be asked for."""

    num_heads: AtLeastOne = 2
    """Pairs of heads, each from its own draws; a cosine is the mean of theirs."""
    embedding_dim: AtLeastOne = MODEL.embedding_dim
    """D of one head."""
    projected_dim: AtLeastOne = MODEL.projected_dim
    hidden_dim: AtLeastOne = MODEL.hidden_dim
    dropout: Dropped = MODEL.dropout
    input_dropout: Dropped = MODEL.input_dropout
    epochs: AtLeastOne = FIT.max_epochs
    """Most epochs of each head."""
    patience: AtLeastOne = FIT.patience
    batch_size: Annotated[int, Meta(ge=2)] = FIT.batch_size
    learning_rate: Positive = FIT.learning_rate
    weight_decay: NotNegative = FIT.weight_decay
    view_weight: NotNegative = FIT.view_weight
    hard_share: Share = FIT.hard_share
    altered: Literal["none", "augmented", "cluttered"] = "none"
    """Copies of pictures that are shown half of the time, encoded anew: augmented, with their texts, or with the
    product amid clutter (METHODS M14). Their items must come with the picture itself, not with its address."""
    num_altered: AtLeastOne = 2_000
    """Training items that have such a copy; every one is encoded before the first epoch."""
    label_attribute: Name = "articleType"
    """Attribute whose values nearest neighbors are judged by; items without it are not judged."""
    validation_share: Annotated[float, Meta(gt=0, lt=0.5)] = 0.12
    """Share of the items that decides when to stop."""
    test_share: Annotated[float, Meta(gt=0, lt=0.5)] = 0.16
    """Share of the items that figures are taken of; nothing is fitted or chosen on it."""
    gallery: Annotated[int, Meta(ge=2)] = 1_500
    """Test items among which an item is looked for; all, where there are fewer."""
    studies: bool = False
    """Also measure what temperature, regularization, augmentation and cluttered backgrounds change; takes minutes."""
    seed: Count = 1

    def __post_init__(self) -> None:
        check(self, "training.align")

    @property
    def fit(self) -> AlignmentFitConfig:
        """How the first head is fitted."""
        model = AlignmentSettings(
            embedding_dim=self.embedding_dim,
            projected_dim=self.projected_dim,
            hidden_dim=self.hidden_dim,
            dropout=self.dropout,
            input_dropout=self.input_dropout,
        )
        return AlignmentFitConfig(
            model=model,
            max_epochs=self.epochs,
            patience=self.patience,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            view_weight=self.view_weight,
            hard_share=self.hard_share,
            seed=self.seed,
        )

    @property
    def shares(self) -> dict[str, float]:
        """Parts of the items."""
        held_out = {"validation": self.validation_share, "test": self.test_share}
        return {"train": 1.0 - sum(held_out.values()), **held_out}


def pairs_of(options: AlignOptions, data: DeploymentData) -> AlignmentPairs:
    """The items that have a picture and a text, in parts; errors as alignment_pairs()."""
    content = data.content()
    return alignment_pairs(
        content,
        data.entries(content.item_ids),
        label_attribute=options.label_attribute,
        seed=options.seed,
        shares=options.shares,
    )


def prepare(options: AlignOptions, data: DeploymentData) -> str:
    """What the run works on: the items and vectors of the content store, and the options."""
    pairs = pairs_of(options, data)
    seen = blake2b(digest_size=16)
    for modality in SIDES:
        seen.update(pairs.inputs[modality].tobytes())
    return f"{len(pairs)} pairs {seen.hexdigest()} {pairs.encoders} {pairs.fingerprints} {options}"


def train(desk: Desk) -> None:
    """Fits the heads one after the other in every worker; the first one measures and writes."""
    options, pairs = desk.options, pairs_of(desk.options, desk.data)
    views = views_of(options, pairs, desk.data)
    finished, running = restored(desk)
    if running:
        desk.tell("resumed", {"head": len(finished) + 1, "epoch": running["epoch"]})
    fits = []
    for number in range(options.num_heads):
        fit = head_fit(desk, pairs, number, views)
        if number < len(finished):
            fit.restore(finished[number])
        elif number == len(finished):
            if running:
                fit.restore(running)
                running = {}
            while not fit.is_over:
                figures = fit.run_epoch()
                if desk.is_first:
                    desk.tell("align_epoch", {"head": number + 1, **figures})
                state = {"finished": finished, "running": fit.state()}
                desk.save(figures, partial(write_state, state))
            finished = [*finished, fit.state()]
        fits.append(fit)
    if desk.is_first:
        finish(desk, pairs, fits)


def views_of(options: AlignOptions, pairs: AlignmentPairs, data: DeploymentData) -> Views | None:
    """What is shown beside the inputs as they are; None where nothing is altered.

    Raises:
        ConfigurationError: copies are asked for and no item has its picture.
    """
    if options.altered == "none":
        return None
    rows = np.random.default_rng(options.seed).permutation(pairs.parts["train"])[: options.num_altered]
    altered = altered_items(pairs, data.items(), rows, seed=options.seed, cleaning=data.settings.content.text_cleaning)
    if not len(altered.rows):
        raise ConfigurationError(
            f"training.align.altered is {options.altered!r}, and no item of the catalogue's topic holds its picture; "
            f'publish pictures themselves, or give "none"'
        )
    return altered.views(options.altered)


def head_fit(desk: Desk, pairs: AlignmentPairs, number: int, views: Views | None) -> AlignmentFit:
    """The fit of one head before its first epoch; heads differ by seed alone."""
    config = desk.options.fit
    return AlignmentFit(
        pairs,
        replace(config, seed=config.seed + 1_000 * number),
        device=desk.device,
        worker=(desk.number, desk.num_workers),
        views=views,
        wrap=desk.wrap,
    )


def write_state(state: dict[str, Any], folder: Path) -> None:
    """Write a checkpoint."""
    torch.save(state, folder / STATE)


def restored(desk: Desk) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """States of the heads that are finished, and of the one that is not; nothing where the run begins."""
    if desk.checkpoint is None:
        return [], {}
    state = torch.load(desk.checkpoint / STATE, map_location="cpu", weights_only=True)
    return list(state["finished"]), dict(state["running"])


def finish(desk: Desk, pairs: AlignmentPairs, fits: list[AlignmentFit]) -> None:
    """Measure on the test part, and write everything; metrics.json last."""
    options, out, projections = desk.options, desk.out, fits[0].projections
    beginning = Aligner(options.fit.model, projections).eval()
    untrained = exported([beginning], projections, encoders=pairs.encoders)
    aligners = [fit.best() for fit in fits]
    trained = exported(aligners, projections, encoders=pairs.encoders)
    figures = alignment_figures(trained, untrained, pairs, gallery=options.gallery, seed=options.seed)
    figures["temperature"] = fits[0].curves[-1]["temperature"]
    desk.tell("aligned", figures)
    parts = figure_parts(trained, untrained, pairs, [fit.curves for fit in fits], figures)
    if options.studies:
        parts += studies(pairs, options.fit, desk.data, tell=desk.tell)
    notes = {
        "options": asdict(options),
        "parts": {part: len(rows) for part, rows in pairs.parts.items()},
        "figures": figures,
    }
    exported(aligners, projections, encoders=pairs.encoders, fingerprints=pairs.fingerprints, notes=notes).save(out)
    replace_file(out / CURVES, json.dumps({"align": [fit.curves for fit in fits]}))
    facts = {"items": str(len(pairs)), **{f"{m} encoder": name for m, name in pairs.encoders.items()}}
    command = "python -m jobs.train --task align" + (" --studies" if options.studies else "")
    write_findings(out, Findings(title="Alignment of pictures and texts", command=command, facts=facts, parts=parts))
    replace_file(out / METRICS, json.dumps({**figures, "description": notes}, indent=1))


ALIGN = Recipe(name="align", options=AlignOptions, prepare=prepare, train=train)
