"""Studies of paper S3: its main table, its ablations, its sensitivity curves (METHODS M37, M38, M5).

    s3_main          the paper's model as printed and as it should be, beside the baselines that it compares with
    s3_ablations     the strong model without decay, weights, text, image
    s3_sensitivity   one value changed at a time: decay rate, weight of a behavior; how lists differ, beside accuracy

S3 says that a heavy weight of the cart makes lists alike: curves of personalization and diversity show whether.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from mmrec.evaluation.interactions import LABELS
from mmrec.evaluation.published import S3_ABLATIONS, S3_MAIN, S3_OWN
from mmrec.experiments.study import Study, Variant, World, hiding

DATA_SETS: Final = ("s3", "movielens_small_posters")
STRONG: Final = "s3_strong"
SWEPT: Final = ("s3_with_user", STRONG)
"""Models whose sensitivity is shown: as printed with the user, and strong."""
METRICS: Final = tuple(f"{name}_at_{cut}" for cut in (3, 5) for name in ("recall", "precision", "hr", "ndcg"))
DIFFERS: Final = (
    "S3's data are private. Ours are a simulated shop of the size and funnel that it describes, and MovieLens with "
    "posters, where a watch and a like stand for its behaviors.",
    "S3 does not say among which candidates an item was ranked, and that decides the figures: ItemKNN alone reaches "
    "HR@5 .72 among nine drawn items and .06 among a whole catalogue. Ours are among the whole catalogue first, with "
    "99, 19 and 9 drawn items beside it.",
    "S3 encodes with ResNet-50 and BERT. Encoders here are cheap ones unless the command names others, so content is "
    "worth less than it could be.",
)
FIXED: Final = "Parameters are those that tuning chose for the whole model; a variant is not tuned anew."
RATES: Final = (0.0, 0.01, 0.05, 0.2, 1.0)
"""Lambda per day; S3 has .05."""
WEIGHTS: Final[Mapping[str, Sequence[float]]] = {
    "cart": (1.0, 4.0, 5.0, 7.0, 20.0, 80.0),
    "purchase": (1.0, 9.0, 10.0, 12.0, 40.0),
    "like": (1.0, 4.0, 5.0, 7.0, 20.0, 80.0),
}
"""By behavior: the range that S3 sweeps, and values beyond it to both sides."""


def main_variants(world: World) -> Iterator[Variant]:
    """Baselines of S3's table that exist here, simple ones that it lacks, and its model."""
    del world
    yield Variant(name="random", model="random")
    yield Variant(name="popularity", model="popularity")
    yield Variant(name="content_likeness", model="content_likeness")
    yield Variant(name="item_knn", model="item_knn", label="item_knn (ItemCF)", printed="ItemCF")
    yield Variant(name="light_gcn", model="light_gcn", printed="LightGCN")
    yield Variant(name="s3_item_only", model="s3_item_only", label="S3 as printed, item only")
    yield Variant(name="s3_with_user", model="s3_with_user", label="S3 as printed, with user", printed=S3_OWN)
    yield Variant(name=STRONG, model=STRONG, label="S3, strong")


def ablation_variants(world: World) -> Iterator[Variant]:
    """The strong model whole, then without one part each; parts that the data lack are left out."""
    yield Variant(name=STRONG, model=STRONG, label="whole", printed="whole")
    if world.task.data.clock == "seconds":
        yield _without("decay", printed=True, decay_per_day=0.0)
    if len(world.task.data.behavior_names) > 1:
        yield _without("weights", printed=True, weights="equal")
    for name in sorted(world.items.vectors):
        yield Variant(
            name=f"{STRONG}.without_{name}",
            model=STRONG,
            label=f"without {name}",
            alter=hiding(name),
            printed=f"without {name}" if f"without {name}" in S3_ABLATIONS.rows else "",
        )
    if world.items.labels is not None:
        yield Variant(name=f"{STRONG}.without_labels", model=STRONG, label="without attributes", alter=hiding(LABELS))
    everything = hiding(LABELS, *world.items.vectors)
    yield Variant(name=f"{STRONG}.without_content", model=STRONG, label="without all content", alter=everything)
    yield _without("ids", num_known=0.0)


def _without(part: str, *, printed: bool = False, **parameters: float | str) -> Variant:
    return Variant(
        name=f"{STRONG}.without_{part}",
        model=STRONG,
        label=f"without {part}",
        parameters=parameters,
        printed=f"without {part}" if printed else "",
    )


def sensitivity_variants(world: World) -> Iterator[Variant]:
    """One value changed at a time, the others as tuning chose them; weights are the usual ones."""
    for model in SWEPT:
        if world.task.data.clock == "seconds":
            for rate in RATES:
                yield Variant(
                    name=f"{model}.decay_{rate:g}",
                    model=model,
                    label=f"{model}, decay {rate:g} per day",
                    parameters={"decay_per_day": rate, "weights": "usual"},
                    curve="decay per day",
                    value=rate,
                )
        for behavior in world.task.data.behavior_names:
            for weight in WEIGHTS.get(behavior, ()):
                yield Variant(
                    name=f"{model}.{behavior}_{weight:g}",
                    model=model,
                    label=f"{model}, {behavior} {weight:g}",
                    parameters={"weights": "usual", "changed_weights": {behavior: weight}},
                    curve=f"weight of {behavior}",
                    value=weight,
                )


S3_STUDIES: Final = (
    Study(
        name="s3_main",
        about="S3's main table: its model as printed and strong, beside baselines that it names and simple ones.",
        data_sets=DATA_SETS,
        variants=main_variants,
        metrics=METRICS,
        reference="popularity",
        published=S3_MAIN,
        differs=DIFFERS,
    ),
    Study(
        name="s3_ablations",
        about="S3's ablations: the strong model without one part each.",
        data_sets=DATA_SETS,
        variants=ablation_variants,
        metrics=METRICS,
        reference=STRONG,
        published=S3_ABLATIONS,
        differs=(*DIFFERS, FIXED),
    ),
    Study(
        name="s3_sensitivity",
        about="S3's sensitivity curves: one value changed at a time, and how lists differ beside it.",
        data_sets=DATA_SETS,
        variants=sensitivity_variants,
        metrics=("hr_at_5", "ndcg_at_5"),
        judged="validation",
        candidates=(),
        differs=(*DIFFERS, FIXED, "Curves are of validation; nothing is chosen by them here."),
    ),
)
