"""Studies of paper S2: its two tables, effect per domain, and its claims of robustness as curves (METHODS M37, M38).

    s2_main          users and items by contrast, in each domain and across, beside baselines
    s2_ablations     the model as printed, without one part each
    s2_robustness    fewer training labels, and labels on wrong items

Domains are the values of the attribute `domain`; where a catalogue has one domain alone, as films have, they are films
of the most usual genre and all others. Figures stand per domain, and apart for users who did nothing in it before:
those are whom recommending across domains is for.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np

from mmrec.evaluation.catalogue_parts import DOMAIN, Parts, parts_by
from mmrec.evaluation.interactions import BoolArray, ItemFeatures
from mmrec.evaluation.label_damage import with_flipped_labels, with_share_of_labels
from mmrec.evaluation.published import S2_ABLATIONS, S2_MAIN
from mmrec.experiments.study import Alteration, Study, Variant, World, hiding

DATA_SETS: Final = ("s3", "movielens_small_posters")
PRINTED: Final = "s2_cross_domain"
STRONG: Final = "s2_aligned_users"
IN_DOMAIN: Final = "s2_contrastive"
GENRES: Final = "genres"
METRICS: Final = ("precision_at_10", "recall_at_10", "f1_at_10", "auc", "ndcg_at_10")
SHARES: Final = (0.1, 0.25, 0.5, 1.0)
"""Of training labels that are left."""
NOISE: Final = (0.0, 0.1, 0.2, 0.4)
"""Shares of training labels that are wrong."""
SWEPT: Final = ("item_knn", PRINTED, STRONG)
DAMAGE_SEED: Final = 1
DIFFERS: Final = (
    "S2 takes Amazon Beauty and Fashion. Ours are the two domains of a simulated shop, where two users of five buy in "
    "both, and MovieLens divided into films of its most usual genre and all others, where nearly everybody is in both.",
    "S2 states neither split nor candidates, and NDCG without a cut. Ours are the last fifth of each user's events, "
    "NDCG@10 among the whole catalogue first, drawn items beside it; AUC does not depend on how many there are.",
    "S2 makes users of their profiles; here a user is the content of what was done. Encoders are cheap ones unless the "
    "command names others.",
)
FIXED: Final = "What a variant does not leave out is as tuning chose it for the whole model."
LEFT_OUT: Final = (
    "S2 does not say what stands in a part's place. Here, without contrast users are aligned and nothing else is "
    "learned; without cross-domain each domain is by itself; without fusion modalities are written one after the other."
)


def domain_attribute(items: ItemFeatures) -> str:
    """The attribute that tells two domains apart or more; a catalogue without any is one domain by DOMAIN."""
    if len(parts_by(items, DOMAIN).names) > 1 or items.labels is None:
        return DOMAIN
    counts_A = np.bincount(items.labels.codes_A, minlength=len(items.labels.names))
    genres = [code for code, name in enumerate(items.labels.names) if name.startswith(f"{GENRES}=")]
    return items.labels.names[max(genres, key=lambda code: counts_A[code])] if genres else DOMAIN


def domains(world: World) -> Parts:
    """Domains of the catalogue, as the models are told them."""
    return parts_by(world.items, domain_attribute(world.items))


def positives_by_domain(world: World) -> Mapping[str, BoolArray]:
    """Positives of the test by the domain of their item, and of users who did nothing in that domain before."""
    found: dict[str, BoolArray] = {}
    test, of = world.task.test, domains(world)
    for row, name in enumerate(of.names):
        in_domain_P = of.part_I[test.items_P] == row
        own_H = of.part_I[test.histories.items_H] == row
        is_known_N = np.bincount(test.histories.targets_H, weights=own_H, minlength=len(test)) > 0
        is_new_P = in_domain_P & ~is_known_N[test.targets_P]
        label = name or "other items"
        found[label] = in_domain_P
        if is_new_P.any():
            found[f"{label}, users new to them"] = is_new_P
    return found


def main_variants(world: World) -> Iterator[Variant]:
    """Baselines of S2's table that exist here, simple ones, its model, and what it is worth across domains."""
    of = _of(world)
    yield Variant(name="random", model="random")
    yield Variant(name="popularity", model="popularity")
    yield Variant(name="content_likeness", model="content_likeness")
    yield Variant(name="item_knn", model="item_knn")
    yield Variant(name="item_knn_content", model="item_knn_content")
    yield Variant(name="bpr", model="bpr", label="bpr (MF)", printed="MF")
    yield Variant(name="ncf", model="ncf", label="ncf (NCF)", printed="NCF")
    yield Variant(name="light_gcn", model="light_gcn", label="light_gcn (GNN)", printed="GNN")
    yield Variant(name="gce_like", model="gce_like", label="gce_like (GCE)", parameters=of, printed="GCE")
    yield Variant(name=IN_DOMAIN, model=IN_DOMAIN, label="S2 in each domain alone", parameters=of)
    yield Variant(
        name=PRINTED, model=PRINTED, label="S2 as printed, across domains", parameters=of, printed="CMC (S2's own)"
    )
    yield Variant(name=STRONG, model=STRONG, label="S2, strong: aligned by contrast, ids", parameters=of)


def ablation_variants(world: World) -> Iterator[Variant]:
    """The model as printed, whole and without one part each; modalities that the data lack are left out."""
    of = _of(world)

    def without(part: str, alter: Alteration | None = None, **parameters: Any) -> Variant:
        found = Variant(
            name=f"{PRINTED}.without_{part.partition(' ')[0]}",
            model=PRINTED,
            label=f"without {part}",
            parameters={**of, **parameters},
            printed=f"without {part}" if f"without {part}" in S2_ABLATIONS.rows else "",
        )
        return replace(found, alter=alter) if alter is not None else found

    yield Variant(name=PRINTED, model=PRINTED, label="whole", parameters=of, printed="whole")
    yield without("contrastive learning", contrast_weight=0.0)
    yield without("cross-domain", alignment_weight=0.0, other_share=0.0)
    yield without("alignment but asked across domains", alignment_weight=0.0)
    for name in sorted(world.items.vectors):
        yield without(name, hiding(name))
    yield without("fusion", fusion="concat")


def robustness_variants(world: World) -> Iterator[Variant]:
    """Fewer labels, and wrong ones, for the models of both forms and a tuned neighbor model."""
    of = _of(world)
    for model in SWEPT:
        parameters = of if model != SWEPT[0] else {}
        for share in SHARES:
            yield Variant(
                name=f"{model}.labels_{share:g}",
                model=model,
                label=f"{model}, {share:g} of labels",
                parameters=parameters,
                alter=_fewer(share),
                curve="share of training labels",
                value=share,
            )
        for share in NOISE:
            yield Variant(
                name=f"{model}.wrong_{share:g}",
                model=model,
                label=f"{model}, {share:g} of labels wrong",
                parameters=parameters,
                alter=_wrong(share),
                curve="share of training labels on wrong items",
                value=share,
            )


def _of(world: World) -> dict[str, Any]:
    return {"domain_attribute": domain_attribute(world.items)}


def _fewer(share: float) -> Alteration:
    return lambda world: replace(world, task=with_share_of_labels(world.task, share=share, seed=DAMAGE_SEED))


def _wrong(share: float) -> Alteration:
    return lambda world: replace(world, task=with_flipped_labels(world.task, share=share, seed=DAMAGE_SEED))


S2_STUDIES: Final[Sequence[Study]] = (
    Study(
        name="s2_main",
        about="S2's first table: contrast of users and items in each domain and across, beside baselines.",
        data_sets=DATA_SETS,
        variants=main_variants,
        candidates=("uniform_99", "uniform_19"),
        metrics=METRICS,
        reference="item_knn",
        published=S2_MAIN,
        differs=DIFFERS,
        parts=positives_by_domain,
    ),
    Study(
        name="s2_ablations",
        about="S2's second table: its model as printed, without one part each.",
        data_sets=DATA_SETS,
        variants=ablation_variants,
        candidates=("uniform_99",),
        metrics=METRICS,
        reference=PRINTED,
        published=S2_ABLATIONS,
        differs=(*DIFFERS, FIXED, LEFT_OUT),
        parts=positives_by_domain,
    ),
    Study(
        name="s2_robustness",
        about="S2 claims to stand few and noisy labels: accuracy over the share of labels kept, and of wrong ones.",
        data_sets=DATA_SETS,
        variants=robustness_variants,
        candidates=(),
        metrics=("auc", "ndcg_at_10"),
        judged="validation",
        differs=(
            "S2 prints no such curves: it claims them.",
            "Training labels are damaged; what is asked, and the histories shown with it, are as they were.",
            FIXED,
        ),
        parts=positives_by_domain,
    ),
)
