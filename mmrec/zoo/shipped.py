"""A release and the replica that serves it, made of an evaluation's events by the code that makes those that ship.

Training is mmrec.training.run on examples that mmrec.training.build makes of the log; a request is answered by
mmrec.serving.recommend. Nothing of either is written a second time. Axis: I items.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from mmrec.config import Settings
from mmrec.evaluation.interactions import Interactions, ItemFeatures
from mmrec.features.item_columns import Vocabulary, content_columns
from mmrec.models.bundle import ModelBundle
from mmrec.recall.catalogue import Catalogue
from mmrec.recall.context import RecallContext, allowed_items, recall_context
from mmrec.scoring.profile import UserProfile
from mmrec.serving.recommend import MAX_ITEMS, Deadline, ListRequest, RecommendedList, ReplicaState, recommend
from mmrec.training.build import build_examples, neighbors_before
from mmrec.training.event_columns import event_columns
from mmrec.training.example_config import Part
from mmrec.training.fit_towers import TowerFit
from mmrec.training.item_history import ItemHistory
from mmrec.training.list_world import ListWorld, list_catalogue
from mmrec.training.run import (
    TrainConfig,
    TrainInputs,
    Workbench,
    behavior_ids,
    finish,
    refit_towers,
    run_tower_epochs,
    start_towers,
)
from mmrec.zoo.shipped_options import ShippedOptions
from mmrec.zoo.shipped_world import content_of, entries_of, event_log, event_times, ids


@dataclass(frozen=True, kw_only=True, eq=False)
class Replica:
    """One release, and the catalogue as it stands after the last event."""

    bundle: ModelBundle
    catalogue: Catalogue
    settings: Settings
    loss_by_epoch: tuple[tuple[float, float], ...]
    """Of the towers."""

    def answer(self, profile: UserProfile, as_of_s: float) -> RecommendedList:
        """What a request for a user gets, with as many items as a request may ask for."""
        state = ReplicaState(
            catalogue=self.catalogue,
            model=self.bundle,
            release_id="evaluated",
            unusable_release=False,
            scoring=self.settings.scoring,
            num_candidates=self.settings.serving.num_candidates,
            diversity=0.0,
            source_weights=self.bundle.source_weights,
        )
        return recommend(
            ListRequest(user_key="asked", as_of_s=as_of_s, num_items=MAX_ITEMS),
            state=state,
            read_profile=lambda _: profile,
            deadline=Deadline(at_s=np.inf, clock=lambda: 0.0),
        )

    def context(self, profile: UserProfile, as_of_s: float) -> RecallContext:
        """What recall sources see of a request."""
        return recall_context(
            profile,
            self.catalogue,
            self.settings.scoring,
            as_of_s=as_of_s,
            allowed_I=allowed_items(self.catalogue, as_of_s=as_of_s),
            tower=self.bundle,
        )


def shipped(
    data: Interactions, items: ItemFeatures, options: ShippedOptions, *, with_lists: bool, seed: int
) -> Replica:
    """Train a release on some events and let it serve.

    Args:
        data: One event or more.
        items: Content; without vectors, towers go by ids alone.
        with_lists: Whether ranker and weights of recall sources are learned, too; else the ranker is untrained.
        seed: Of everything drawn.
    """
    settings, config = options.settings(data), options.train_config(seed=seed)
    log, entries, content = event_log(data, settings.behaviors), entries_of(items), content_of(items)
    built = build_examples(
        log, entries, settings=settings, config=options.example_config(with_lists=with_lists, seed=seed)
    )
    inputs = TrainInputs(retrieval=built.retrieval, ranking=built.ranking, content=content, entries=entries)
    with torch.random.fork_rng(devices=[]):
        bundle, fit = _trained(inputs, settings, config, with_lists=with_lists)
    curve = tuple((each["epoch"], each["loss"]) for each in fit.curves)
    return replica_of(bundle, data, items, settings, item_history=built.ranking.item_history, loss_by_epoch=curve)


def replica_of(
    bundle: ModelBundle,
    data: Interactions,
    items: ItemFeatures,
    settings: Settings,
    *,
    item_history: ItemHistory,
    loss_by_epoch: tuple[tuple[float, float], ...] = (),
) -> Replica:
    """A model that serves after the last of some events.

    Args:
        item_history: Of the events' items, as build_examples() made it of these events.
    """
    log, entries = event_log(data, settings.behaviors), entries_of(items)
    world = ListWorld(
        catalogue=list_catalogue(
            ids(data.num_items),
            content=content_columns([entries[item_id] for item_id in ids(data.num_items)], vocabulary=Vocabulary()),
            behaviors=settings.behaviors,
            decay_per_day_H=item_history.decay_per_day_H,
            vectors_ID=bundle.item_embeddings(content_of(items)),
        ),
        item_history=item_history,
        scoring=settings.scoring,
        tower=bundle,
    )
    columns = event_columns(log, behaviors=settings.behaviors, item_ids=entries)
    after_s = float(np.nextafter(event_times(data).max(), np.inf))
    return Replica(
        bundle=bundle,
        catalogue=world.as_of(after_s, neighbors_before(columns, after_s, settings)),
        settings=settings,
        loss_by_epoch=loss_by_epoch,
    )


def _trained(
    inputs: TrainInputs, settings: Settings, config: TrainConfig, *, with_lists: bool
) -> tuple[ModelBundle, TowerFit]:
    fit = TowerFit(
        start_towers(inputs, settings, config),
        inputs.retrieval,
        behavior_ids=behavior_ids(settings),
        config=config.fit_towers,
        max_history=config.towers.max_history,
    )
    run_tower_epochs(fit, inputs, config, after_epoch=lambda figures, best: None)
    if with_lists:
        return finish(fit, inputs, settings=settings, config=config, progress=_unheard).bundle, fit
    for part in (Part.RANKER, Part.VALIDATION):
        refit_towers(fit, inputs, config, _unheard, through=part)
    return Workbench(inputs, settings=settings, config=config).bundle(fit.model), fit


def _unheard(event: str, figures: Mapping[str, Any]) -> None:
    """Nobody listens to the progress of a fit."""
