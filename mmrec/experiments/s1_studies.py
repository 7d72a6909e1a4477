"""Studies of paper S1: fusions under several temperatures, and what regularization is worth (METHODS M16, M20, M23).

s1_fusion             four fusions, each with a learned temperature and with fixed ones
s1_regularization     the model whole, then without dropout, L1, L2, early stopping, other views and pairs
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from mmrec.experiments.study import Study, Variant, World
from mmrec.zoo.s1_fusion import PRINTED_FUSIONS

DATA_SETS: Final = ("s3", "movielens_small_posters")
MODEL: Final = "s1_fusion"
METRICS: Final = ("hr_at_5", "ndcg_at_5", "hr_at_10", "ndcg_at_10")
FIXED_TEMPERATURES: Final = (0.05, 0.1, 0.3)
LEARNED: Final[Mapping[str, Any]] = {"temperature_kind": "learned", "temperature": 0.1}
WHOLE: Final[Mapping[str, Any]] = {"dropout": 0.1, "l1": 0.1, "l2": 0.01, "view_weight": 0.05, "pair_weight": 0.1}
"""What the study takes away piece by piece: with all of it at once, so that every piece has something to lose."""
EPOCHS: Final = 20
DIFFERS: Final = (
    "S1 prints pictures and no table that could stand beside ours; its data are not named. Figures here say what each "
    "choice is worth on these data alone.",
    "S1 learns encoders and recommender as one; here encoders are frozen, and another view of an item is another "
    "drawing of dropout and hidden modalities.",
)


def fusion_variants(world: World) -> Iterator[Variant]:
    """Every fusion at every temperature, and the simple model that has to be beaten."""
    del world
    yield Variant(name="content_likeness", model="content_likeness")
    yield Variant(name="item_knn_content", model="item_knn_content")
    for fusion in PRINTED_FUSIONS:
        yield Variant(
            name=f"{MODEL}.{fusion}_learned",
            model=MODEL,
            label=f"{fusion}, temperature learned",
            parameters={"fusion": fusion, **LEARNED},
        )
        for temperature in FIXED_TEMPERATURES:
            yield Variant(
                name=f"{MODEL}.{fusion}_{temperature:g}",
                model=MODEL,
                label=f"{fusion}, temperature {temperature:g}",
                parameters={"fusion": fusion, "temperature_kind": "fixed", "temperature": temperature},
            )


def regularization_variants(world: World) -> Iterator[Variant]:
    """The model with all of it, without each piece, and without any."""
    del world
    all_epochs = {"max_epochs": EPOCHS, "patience": EPOCHS}
    pieces: dict[str, dict[str, Any]] = {
        "dropout": {"dropout": 0.0},
        "l1": {"l1": 0.0},
        "l2": {"l2": 0.0},
        "early_stopping": all_epochs,
        "other_views": {"view_weight": 0.0},
        "pairs_of_modalities": {"pair_weight": 0.0},
    }
    whole = {**WHOLE, "max_epochs": EPOCHS}
    nothing = {"dropout": 0.0, "l1": 0.0, "l2": 0.0, **all_epochs}
    yield Variant(name=f"{MODEL}.whole", model=MODEL, label="whole", parameters=whole)
    for piece, without in pieces.items():
        yield Variant(
            name=f"{MODEL}.without_{piece}",
            model=MODEL,
            label=f"without {piece.replace('_', ' ')}",
            parameters={**whole, **without},
        )
    yield Variant(
        name=f"{MODEL}.without_regularization",
        model=MODEL,
        label="without dropout, L1, L2 and early stopping",
        parameters={**whole, **nothing},
    )


S1_STUDIES: Final[Sequence[Study]] = (
    Study(
        name="s1_fusion",
        about="S1's fusions by concatenation, weighted sum, product and attention, at learned and fixed temperatures.",
        data_sets=DATA_SETS,
        variants=fusion_variants,
        candidates=("uniform_99",),
        metrics=METRICS,
        reference="item_knn_content",
        differs=DIFFERS,
    ),
    Study(
        name="s1_regularization",
        about="What S1's regularization, other views and pairs of modalities are worth.",
        data_sets=DATA_SETS,
        variants=regularization_variants,
        candidates=("uniform_99",),
        metrics=METRICS,
        reference=f"{MODEL}.whole",
        differs=DIFFERS,
    ),
)
