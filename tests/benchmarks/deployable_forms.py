"""Forms in which a ranker may serve: processor time per list and NDCG@10 of each, on the same lists (METHODS M30).

    python -m tests.benchmarks.deployable_forms [--lists 600] [--output FILE]

A network and trees are fitted on lists of a simulated storefront, as a training fits them, and judged on its newest
lists with all their candidates. Each form ranks one list at a time on one thread: first within a request, where other
work between two lists has emptied the processor's nearest caches, then over and over again. Writes
tests/benchmarks/results/deployable_forms.json.
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mmrec.config import Settings
from mmrec.features.assemble import feature_names
from mmrec.features.item_columns import Vocabulary, content_columns
from mmrec.models.forms import FORMS, KEPT_NDCG, Scores
from mmrec.models.losses import log_utility
from mmrec.models.ranker import Ranker
from mmrec.models.settings import RankerSettings
from mmrec.training.build import build_examples
from mmrec.training.choose_ranker import FittedRanker, fit_rankers, list_ndcg
from mmrec.training.example_config import ExampleConfig, Part
from mmrec.training.fit_ranker import RankerFitConfig, list_tensors
from mmrec.training.fit_trees import TreesFitConfig
from mmrec.training.ranking_rows import RankedList, ranked_lists
from tests.benchmarks.ranking_skew import storefront_events
from tests.benchmarks.receipt import write_receipt

PACKAGES = ("numpy", "torch", "onnx", "onnxruntime", "lightgbm")
ROUNDS = 5
"""The median of so many is taken."""
OTHER_WORK = np.zeros(1 << 21)
"""16 MB, read between two lists: what a request does besides."""


def lists_of(settings: Settings, *, num_lists: int) -> dict[Part, list[RankedList]]:
    """Lists for fitting and for judging; half as many of these."""
    config = ExampleConfig(max_ranker_lists=num_lists, max_validation_lists=num_lists // 2, max_retrieval_labels=1_000)
    examples = build_examples(storefront_events(), {}, settings=settings, config=config).ranking
    content = content_columns([None] * len(examples.item_ids), vocabulary=Vocabulary())
    return {
        part: list(
            ranked_lists(
                examples,
                examples.of_part(part),
                content=content,
                towers=None,
                scoring=settings.scoring,
                num_candidates=settings.serving.num_candidates,
            )
        )
        for part in (Part.RANKER, Part.VALIDATION)
    }


def fitted(settings: Settings, lists: Sequence[RankedList]) -> FittedRanker:
    """Network and trees."""
    names = feature_names(settings.behaviors, num_half_lives=len(settings.statistics.half_lives_days))
    weights = tuple(float(weight) for weight in settings.behaviors.weights_B)
    tensors = list_tensors(lists, weights_B=settings.behaviors.weights_B, config=RankerFitConfig())
    torch.manual_seed(1)

    def fit(kind: Any) -> FittedRanker:
        fresh = Ranker(RankerSettings(), num_features=len(names), behavior_weights=weights)
        return fit_rankers(
            fresh, tensors, kind=kind, feature_names=names, network=RankerFitConfig(), trees=TreesFitConfig()
        )

    return replace(fit("network"), trees=fit("trees").trees)


def forms_of(found: FittedRanker) -> dict[str, Scores]:
    """Every form by name: those that may serve, and PyTorch as it is, compiled, and with 8-bit weights."""
    network = found.network.eval()
    int8 = torch.ao.quantization.quantize_dynamic(network, {torch.nn.Linear}, dtype=torch.qint8)

    def through(model: Callable[[torch.Tensor], torch.Tensor]) -> Scores:
        def scores(rows_NF: np.ndarray) -> np.ndarray:
            with torch.inference_mode():
                return log_utility(model(torch.from_numpy(np.ascontiguousarray(rows_NF))), network.weights_B).numpy()

        return scores

    forms: dict[str, Scores] = {name: make(network) for name, make in FORMS.items()}
    forms |= {"eager": through(network), "eager-int8": through(int8)}
    try:
        compiled = torch.compile(network, dynamic=True)
        through(compiled)(np.zeros((400, network.skip.in_features), dtype=np.float32))
        forms["compiled"] = through(compiled)
    except Exception as error:  # a machine without a C++ compiler compiles nothing
        print(f"compiled is left out: {error!r:.300}")
    if found.trees is not None:
        forms["trees"] = found.trees
    return forms


def microseconds(form: Scores, lists: Sequence[RankedList], *, between: bool) -> float:
    """Median over rounds of the mean time of the processor per list: what else runs on the machine does not count."""
    rounds = []
    for _ in range(ROUNDS):
        spent_s = 0.0
        for one in lists:
            if between:
                OTHER_WORK.sum()
            began_s = time.thread_time()
            form(one.features_NF)
            spent_s += time.thread_time() - began_s
        rounds.append(1e6 * spent_s / len(lists))
    return float(np.median(rounds))


def measured(num_lists: int) -> tuple[dict[str, Any], tuple[str, ...]]:
    """(figures, notes)."""
    settings = Settings()
    lists = lists_of(settings, num_lists=num_lists)
    found = fitted(settings, lists[Part.RANKER])
    judged = lists[Part.VALIDATION]
    everything = RankerFitConfig(num_negatives=100_000)
    tensors = list_tensors(judged, weights_B=settings.behaviors.weights_B, config=everything)
    assert tensors is not None, "no list of the newest part has a label that recall proposed"
    figures: dict[str, Any] = {
        "lists_fitted": len(lists[Part.RANKER]),
        "lists_judged": len(tensors),
        "candidates_mean": round(float(np.mean([len(one.rows_N) for one in judged])), 1),
    }
    num_rows, width = tensors.valid_GC.shape
    rows_NF = tensors.features_GCF.flatten(0, 1).numpy()
    for name, form in forms_of(found).items():
        scores_GC = form(rows_NF).astype(np.float64).reshape(num_rows, width)
        figures[f"{name}_ndcg_at_10"] = round(list_ndcg(scores_GC, tensors), 5)
        figures[f"{name}_us_per_list"] = round(microseconds(form, judged, between=True), 1)
        figures[f"{name}_us_per_list_in_a_loop"] = round(microseconds(form, judged, between=False), 1)
        print(name, {k: v for k, v in figures.items() if k.startswith(f"{name}_")})
    allowed = [name for name in FORMS if figures[f"{name}_ndcg_at_10"] >= KEPT_NDCG * figures["eager_ndcg_at_10"]]
    by_speed = sorted(FORMS, key=lambda name: figures[f"{name}_us_per_list"])
    return figures, (
        f"forms that may serve, fastest first: {', '.join(by_speed)}",
        f"of these keep the NDCG: {', '.join(allowed)}",
    )


def main() -> None:
    """Measure and write the receipt."""
    parser = argparse.ArgumentParser(prog="tests.benchmarks.deployable_forms", description=__doc__)
    parser.add_argument("--lists", type=int, default=600, help="for fitting; half as many are judged")
    parser.add_argument("--output", type=Path, help="where the receipt goes; default results/deployable_forms.json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    figures, notes = measured(arguments.lists)
    path = write_receipt("deployable_forms", figures, {}, packages=PACKAGES, output=arguments.output, notes=notes)
    print(json.dumps(figures, indent=1), *notes, path.name, sep="\n")


if __name__ == "__main__":
    main()
