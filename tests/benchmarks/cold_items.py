"""Items that nobody has touched, found by their content: frozen vectors against those of a trained alignment.

    python -m tests.benchmarks.cold_items                         the storefront and movielens_small_posters
    python -m tests.benchmarks.cold_items --sets storefront

A fifth of the items is drawn to be cold: their events before the cut are taken out of everything. Whoever has an event
after the cut on one of them is asked, with what they did before the cut on other items as history; candidates are the
cold items that they had not touched. The model is content_likeness of mmrec.zoo, given pictures, texts, both, or what
an alignment makes of both (METHODS M19, M27). The alignment learns from the catalogue alone, no event. How a history
counts is chosen on the tenth of the time line before the cut. HR@10 is beside chance: what a random order hits.
Writes results/cold_items.json.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from mmrec.config import Settings
from mmrec.content.alignment import ALIGNED, AlignmentModel, with_aligned
from mmrec.content.matrix import ContentMatrix
from mmrec.content.registry import LazyEncoder
from mmrec.content.store import ContentStore
from mmrec.evaluation.candidates import COLD
from mmrec.evaluation.interactions import BoolArray, Interactions, ItemFeatures
from mmrec.evaluation.intervals import clustered_interval
from mmrec.evaluation.judging import judge
from mmrec.evaluation.measure import per_target
from mmrec.evaluation.search_space import trials
from mmrec.evaluation.task import Targets, targets_of
from mmrec.experiments.data_sets import GRADES, read_data_set, simulated
from mmrec.home import cache_folder
from mmrec.reports.catalogues import PICTURE_SIZE, read_catalogue
from mmrec.reports.encoded_catalogue import ReportEncoders, encode_catalogue
from mmrec.simulator.settings import StorefrontConfig
from mmrec.training.content_trainings import train_on_catalogue
from mmrec.zoo.content_likeness import CONTENT_LIKENESS
from tests.benchmarks.receipt import write_receipt
from tests.public_data import public_data

MOVIELENS, STOREFRONT = "movielens_small_posters", "storefront"
SETS = (STOREFRONT, MOVIELENS)
IMAGES, TEXT = ("efficientnet-lite0", "color-lab"), "minilm"
SHARE_COLD = 0.2
TARGETS = {STOREFRONT: (), MOVIELENS: ("like",)}
"""Behaviors that are foreseen; empty takes all."""
SPACES: dict[str, tuple[str, ...]] = {
    "image": ("image",),
    "text": ("text",),
    "image and text": ("image", "text"),
    "aligned": (ALIGNED,),
    "image, text and aligned": ("image", "text", ALIGNED),
}
NUM_TRIALS = 8
K = 10


@dataclass(frozen=True, kw_only=True, eq=False)
class World:
    """Events, and the content of the items that have a picture."""

    name: str
    data: Interactions
    content: ContentMatrix
    """With ALIGNED; rows as data.item_ids."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Question:
    """What a fit sees, and who is asked about which cold items."""

    seen: Interactions
    targets: Targets


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=SETS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="of the draw of cold items")
    parser.add_argument("--output", type=Path)
    asked = parser.parse_args()
    figures: dict[str, Any] = {}
    samples: dict[str, Any] = {}
    for name in asked.sets:
        world = read_world(name)
        for seed in asked.seeds:
            for space, found in measured(world, seed).items():
                samples.setdefault(f"{name} {space}", []).append(found)
                print(f"{name:24} seed {seed}  {space:26} {found}", flush=True)
        for space in (*SPACES, "chance"):
            drawn = [each["hr_at_10"] for each in samples[f"{name} {space}"]]
            figures[f"{name}_{space.replace(',', '').replace(' ', '_')}_hr_at_10"] = round(float(np.mean(drawn)), 4)
    print("\n".join(f"{name:56} {value}" for name, value in figures.items()))
    write_receipt("cold_items", figures, samples, packages=("numpy", "torch"), output=asked.output)


def read_world(name: str) -> World:
    """Events and items; an alignment is trained on the items."""
    settings, folder = Settings(), public_data() / MOVIELENS
    if name == STOREFRONT:
        shop = StorefrontConfig(num_users=6_000, image_size=PICTURE_SIZE, share_bots=0.0, share_duplicates=0.0)
        data = simulated(shop, num_events=200_000, encoders={}).data
    else:
        data = read_data_set(MOVIELENS, data_folder=str(public_data()), encoders={}).data
    # The file of the films alone: tags of people are of any time, after the cut as well, and would be text.
    source = STOREFRONT if name == STOREFRONT else str(folder / "movies.parquet")
    catalogue = read_catalogue(source, data_folder="", settings=settings.catalog)
    encoders = ReportEncoders(
        images=[LazyEncoder("image", each, num_threads=2) for each in IMAGES],
        text=LazyEncoder("text", TEXT, num_threads=2),
    )
    store = ContentStore(cache_folder() / "content", cache_folder=cache_folder() / "content")
    encoded = encode_catalogue(catalogue.items, encoders, store=store, tell=_tell)
    with TemporaryDirectory() as out:
        train_on_catalogue(["align"], encoded, settings, Path(out), tell=_tell)
        alignment = AlignmentModel.load(Path(out) / "align")
    return World(name=name, data=data, content=with_aligned(encoded.matrix, alignment).select(data.item_ids))


def measured(world: World, seed: int) -> dict[str, dict[str, Any]]:
    """Space -> figures of the test, parameters chosen on the part before it; and chance."""
    has_content_I = np.logical_or.reduce([world.content.present[each] for each in ("image", "text")])
    cold_I = has_content_I & (np.random.default_rng(seed).random(len(has_content_I)) < SHARE_COLD)
    begins = [float(np.quantile(world.data.times_E, share)) for share in (0.8, 0.9, 1.0)]
    validation = _question(world, cold_I, begins[0], begins[1])
    test = _question(world, cold_I, begins[1], np.inf)
    found: dict[str, dict[str, Any]] = {}
    for space, modalities in SPACES.items():
        items = ItemFeatures(
            num_items=world.data.num_items,
            vectors={each: world.content.values[each] for each in modalities},
            present={each: world.content.present[each] for each in modalities},
        )
        tried = trials(CONTENT_LIKENESS.space, num_trials=NUM_TRIALS, seed=1)
        scored = [_hits(validation, items, cold_I, parameters)[0].mean() for parameters in tried]
        best = tried[int(np.argmax(scored))]
        hits_N, users, chance = _hits(test, items, cold_I, best)
        interval = clustered_interval(hits_N, users, seed=1)
        found[space] = {
            "hr_at_10": round(interval.mean, 4),
            "low": round(interval.low, 4),
            "high": round(interval.high, 4),
            "num_users": interval.num_values,
            "parameters": best,
        }
    found["chance"] = {"hr_at_10": round(chance, 4), "cold_items": int(cold_I.sum())}
    return found


def _question(world: World, cold_I: BoolArray, begin: float, until: float) -> Question:
    data = world.data
    before_E = data.times_E < begin
    known = data.take(~(before_E & cold_I[data.items_E]) & (data.times_E < until))
    after_E = known.times_E >= begin
    wanted = [row for row, name in enumerate(data.behavior_names) if name in TARGETS[world.name]]
    chosen_E = after_E & cold_I[known.items_E]
    if wanted:
        chosen_E &= np.isin(known.behaviors_E, wanted)
    as_of_U = np.full(data.num_users, begin)
    return Question(seen=known.take(~after_E), targets=targets_of(known, chosen_E, as_of_U=as_of_U, weights=GRADES))


def _hits(
    question: Question, items: ItemFeatures, cold_I: BoolArray, parameters: dict[str, Any]
) -> tuple[np.ndarray, list[str], float]:
    """Hits at 10 per user, users, and what a random order hits."""
    model, targets = CONTENT_LIKENESS.model(parameters), question.targets
    model.fit(question.seen, items, seed=1)
    places = judge(model, targets, cold_I=cold_I, seen=("new",), seed=1)[COLD, "new"]
    hits_N = per_target(places, targets, cuts=(K,))[f"hr_at_{K}"]
    rights_N = np.diff(targets.offsets)
    missed_N = np.ones(len(targets))
    for place in range(K):  # none of the first k: drawn without repetition among others and right ones
        missed_N *= np.clip(places.num_others_N - place, 0, None) / (places.num_others_N + rights_N - place)
    return hits_N, [str(each) for each in targets.users_N], float(1.0 - missed_N.mean())


def _tell(event: str, **figures: Any) -> None:
    print(event, *(f"{name}={value}" for name, value in figures.items() if not isinstance(value, dict)), flush=True)


if __name__ == "__main__":
    main()
