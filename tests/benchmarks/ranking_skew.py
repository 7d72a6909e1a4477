"""How far the lists of a training are from served ones at the same instants, by how often it builds neighbors.

    python -m tests.benchmarks.ranking_skew [--lists 40]

Everything but neighbors is the same by construction (a test says so); serving builds those every few seconds, a
training a few times per part. Served lists here read neighbors built from all events known before their very instant.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from mmrec.config import Settings
from mmrec.features.assemble import feature_names
from mmrec.features.item_columns import Vocabulary, content_columns
from mmrec.simulator.settings import StorefrontConfig
from mmrec.simulator.storefront import Storefront
from mmrec.training.build import build_examples, neighbors_before
from mmrec.training.event_columns import event_columns
from mmrec.training.example_config import ExampleConfig
from mmrec.training.examples import RankingExamples
from mmrec.training.ranking_rows import RankedList, ranked_lists
from mmrec.training.skew import skew
from tests.benchmarks.receipt import write_receipt

BUILDS = (1, 2, 4, 8)
"""Builds of neighbors per part that are compared."""


def storefront_events(seed: int = 11) -> pa.Table:
    """A simulated shop's events, each known when it was sent."""
    tables = []
    for chunk in Storefront(StorefrontConfig(seed=seed, num_users=300, num_items=600, days=30.0)).events():
        new = ~chunk.is_duplicate
        names = {"user_key": chunk.user_ids, "item_id": chunk.item_ids, "behavior": chunk.behaviors}
        times = {"event_time_s": chunk.event_times_s[new]}
        times |= dict.fromkeys(("known_time_s", "ingest_time_s"), chunk.send_times_s[new])
        tables.append(pa.table({**{n: pa.array(c[new].tolist(), pa.string()) for n, c in names.items()}, **times}))
    return pa.concat_tables(tables)


def thinned(examples: RankingExamples, every: int) -> RankingExamples:
    """The same lists, with every so many-th table of neighbors."""
    return replace(examples, neighbors=examples.neighbors[::every], neighbor_times_T=examples.neighbor_times_T[::every])


def measured(events: pa.Table, settings: Settings, *, num_lists: int) -> dict[str, float]:
    """Overlap and the two features that differ most, by number of builds."""
    config = ExampleConfig(neighbor_builds=BUILDS[-1], max_retrieval_labels=1_000)
    examples = build_examples(events, {}, settings=settings, config=config).ranking
    columns = event_columns(events, behaviors=settings.behaviors)
    content = content_columns([None] * len(examples.item_ids), vocabulary=Vocabulary())
    drawn = np.sort(np.random.default_rng(1).choice(len(examples), min(num_lists, len(examples)), replace=False))

    def lists(of: RankingExamples, numbers: Sequence[int]) -> list[RankedList]:
        return list(
            ranked_lists(
                of,
                np.array(numbers),
                content=content,
                towers=None,
                scoring=settings.scoring,
                num_candidates=settings.serving.num_candidates,
            )
        )

    served: list[RankedList] = []
    for number in drawn.tolist():
        time_s = float(examples.label_times_N[number])
        table = neighbors_before(columns, time_s, settings)
        served += lists(replace(examples, neighbors=(table,), neighbor_times_T=np.array([time_s])), [number])
    names = feature_names(settings.behaviors, num_half_lives=len(settings.statistics.half_lives_days))
    figures: dict[str, float] = {"lists": float(len(served))}
    for builds in BUILDS:
        trained = lists(thinned(examples, BUILDS[-1] // builds), drawn.tolist())
        found = skew(zip(trained, served, strict=True), names)
        figures[f"overlap_{builds}_builds"] = round(found.overlap, 4)
        for name, value in sorted(found.by_feature.items(), key=lambda pair: -pair[1])[:2]:
            figures[f"{name}_deviations_{builds}_builds"] = round(value, 4)
    return figures


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(prog="tests.benchmarks.ranking_skew", description=__doc__)
    parser.add_argument("--lists", type=int, default=40)
    parser.add_argument("--output", type=Path, help="where the receipt goes; default results/ranking_skew.json")
    arguments = parser.parse_args()
    figures = measured(storefront_events(), Settings(), num_lists=arguments.lists)
    print(write_receipt("ranking_skew", figures, {}, packages=("numpy",), output=arguments.output))


if __name__ == "__main__":
    main()
