"""A warm refit: what serves goes on with what was done since it was trained, in minutes; then it must match itself.

    part          TOWERS            RANKER                       VALIDATION
    served        (learned)                                      judged: what the refit has to match
    trained       (learned in part)                              judged: what a chain of refits has to match
    refitted      towers go on      towers go on, ranker goes on judged: the figures, and what the gates see
    what ships                                                   all go on: towers, ranker, weights of sources

TOWERS is what the served model has learned of the newest days (ExampleConfig.window_days, learned_until_s); the other
parts are new to it, so that nobody is judged by what it knows. Towers begin as they serve: what an id was stays, and
what is learned of it now is added by what is known of it now (mmrec.models.towers). The ranker's lists are made by the
served towers. Neighbors and counts need no refit: they follow the log by themselves. A refit replaces no training:
projections of content, shapes of networks, and trees stay as they were.
"""

from dataclasses import replace
from typing import Any, Final

from mmrec.config import Settings
from mmrec.content.matrix import is_same_encoder
from mmrec.errors import IncompatibleStateError, PreconditionError
from mmrec.models.bundle import ModelBundle
from mmrec.training.choose_ranker import FittedRanker, further_ranker
from mmrec.training.example_config import Part
from mmrec.training.fit_ranker import ListTensors, joined
from mmrec.training.fit_towers import TEMPERATURE, TowerFit
from mmrec.training.run import (
    LEARNED_UNTIL,
    Judged,
    Progress,
    TrainConfig,
    Trained,
    TrainInputs,
    Workbench,
    behavior_ids,
    describe,
    refit_towers,
    start_towers,
)

WARM_FROM: Final = "warm_from"
"""Figure of a model: the id of the release that it began from."""
SERVED: Final = "_served"
"""Ends the names of figures of the served model, on the same lists."""
TRAINED: Final = "_trained"
"""The same, of the last whole training."""
_FURTHER: Final = 0.2
"""Of the ranker's learning rate: it is nearly where it should be."""


def refitted(
    inputs: TrainInputs,
    served: ModelBundle,
    *,
    trained: ModelBundle | None = None,
    warm_from: str,
    least_lists: int,
    settings: Settings,
    config: TrainConfig,
    progress: Progress,
) -> Trained:
    """A model that goes on from the served one.

    Args:
        inputs: Of the newest days.
        served: Not changed; its settings of towers and ranker count, whatever `config` says of them.
        trained: The last whole training; None where that is the served model.
        warm_from: Id of the served model's release.
        least_lists: Of the newest part, that figures can be told apart by.
        config: How towers and ranker learn.

    Raises:
        IncompatibleStateError: the served model cannot go on with this configuration or content.
        PreconditionError: the newest part has too few lists to judge by.
    """
    check_goes_on(served, inputs, settings)
    config = replace(config, towers=served.tower_settings, ranker=served.ranker_settings)
    further = replace(config.fit_ranker, learning_rate=_FURTHER * config.fit_ranker.learning_rate)
    bench = Workbench(inputs, settings=settings, config=config)
    before = bench.judged(served)
    if (num_lists := len(before.tensors or ())) < least_lists:
        raise PreconditionError(
            f"{num_lists} lists of the newest part to judge a refit by, at least {least_lists} are needed; let more "
            "happen, or take more days"
        )
    fit = TowerFit(
        start_towers(inputs, settings, config),
        inputs.retrieval,
        behavior_ids=behavior_ids(settings),
        config=config.fit_towers,
        max_history=config.towers.max_history,
    )
    fit.model.begin_as(served, inputs.content)

    def ranker_of(lists: ListTensors | None) -> FittedRanker:
        found = further_ranker(served.ranker, served.trees, lists, config=further)
        progress("ranker_fitted", {**found.figures, "lists": len(lists or ())})
        return found

    proposed = bench.proposed(Part.RANKER, fit.model)
    sources = bench.fitted_sources(proposed, before=served.source_weights)
    tensors = bench.tensors(bench.lists(Part.RANKER, bench.bundle(fit.model, sources=sources)))
    ranker = ranker_of(tensors)
    refit_towers(fit, inputs, config, progress, through=Part.RANKER)
    measured = bench.judged(bench.bundle(fit.model, ranker, sources))
    metrics: dict[str, Any] = {
        **measured.figures,
        **_compared(before, SERVED),
        **(_compared(bench.judged(trained), TRAINED) if trained is not None else {}),
        "validation_lists": num_lists,
        **ranker.figures,
        **sources.figures,
    }
    progress("validated", metrics)

    sources = bench.fitted_sources([*proposed, *measured.proposed], before=served.source_weights)
    ranker = ranker_of(joined(tensors, measured.tensors))
    refit_towers(fit, inputs, config, progress, through=Part.VALIDATION)
    metrics |= {WARM_FROM: warm_from, LEARNED_UNTIL: inputs.retrieval.learned_until_s}
    metrics[TEMPERATURE] = float(fit.model.temperature().detach())
    metrics["description"] = {**describe(settings, config), "measured": f"went on from release {warm_from}"}
    bundle = bench.bundle(fit.model, ranker, sources, metrics)
    bundle = replace(bundle, kept_forms=tuple(ranker.kept_forms()) or served.kept_forms)
    return Trained(bundle=bundle, curves={"towers": fit.curves, "ranker": ranker.curve})


_COMPARED: Final = ("hr_at_10", "ndcg_at_10", "recall_of_candidates")
"""Beginnings of the figures that two models are compared by."""


def _compared(judged: Judged, ending: str) -> dict[str, float]:
    return {f"{name}{ending}": value for name, value in judged.figures.items() if name.startswith(_COMPARED)}


def check_goes_on(served: ModelBundle, inputs: TrainInputs, settings: Settings) -> None:
    """IncompatibleStateError where a model cannot go on: nothing but a training from the start helps then."""
    content, dims = inputs.content, dict(served.content_dims)
    wrong = []
    if served.behavior_ids != behavior_ids(settings):
        wrong.append(
            f"it knows behaviors of ids {served.behavior_ids}, this configuration has {behavior_ids(settings)}"
        )
    if served.tower_settings.id_buckets:
        wrong.append("its ids share rows by hash, by an order of items that has changed since")
    found = {name: content.values[name].shape[1] for name in content.modalities}
    if found != dims:
        wrong.append(f"it reads content {dims}, and there is {found}")
    if others := [name for name in sorted(set(found) & set(dims)) if not is_same_encoder(name, content, served)]:
        wrong.append(f"its {', '.join(others)} content was made by other encoders")
    if wrong:
        raise IncompatibleStateError(f"no refit of the served model: {'; '.join(wrong)}; train from the start")
