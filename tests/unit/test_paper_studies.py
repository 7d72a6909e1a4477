"""Studies of papers S1 and S2 on a planted world: what they vary can be built, what they alter asks the same."""

from dataclasses import replace

import numpy as np
import pytest

from mmrec.evaluation.catalogue_parts import parts_by
from mmrec.evaluation.interactions import LABELS, ItemLabels
from mmrec.evaluation.splits import per_user
from mmrec.experiments.s1_studies import S1_STUDIES
from mmrec.experiments.s2_studies import (
    NOISE,
    S2_STUDIES,
    SHARES,
    SWEPT,
    domain_attribute,
    positives_by_domain,
)
from mmrec.experiments.studies import STUDIES, study_named
from mmrec.experiments.study import Study, World
from mmrec.experiments.target_file import is_same
from mmrec.zoo.registry import model_named
from tests.style_world import DOMAIN_I, NUM_BOTH, NUM_ITEMS, style_items, style_world

WORLD = World(task=per_user(style_world()), items=style_items())
EVERY_STUDY = pytest.mark.parametrize("study", (*S1_STUDIES, *S2_STUDIES), ids=lambda study: study.name)


@EVERY_STUDY
def test_every_variant_is_one_that_its_model_takes_and_asks_the_same(study: Study) -> None:
    variants = list(study.variants(WORLD))
    assert len({variant.name for variant in variants}) == len(variants)
    for variant in variants:
        entry = model_named(variant.model)
        assert entry.model(variant.parameters).name == entry.name
        assert is_same(variant.alter(WORLD).task.test, WORLD.task.test)
        assert not variant.printed or (study.published is not None and variant.printed in study.published.rows)
    assert not study.reference or study.reference in {variant.name for variant in variants}
    assert study in STUDIES and study_named(study.name) is study


def test_ablations_leave_out_the_modality_they_name_and_stand_beside_the_printed_ones() -> None:
    variants = {variant.label: variant for variant in study_named("s2_ablations").variants(WORLD)}
    hidden = variants["without text"].alter(WORLD).items
    assert "text" not in hidden.vectors and hidden.labels is not None, "domains are told by labels"
    assert {variants[f"without {part}"].printed for part in ("contrastive learning", "cross-domain", "fusion")} == {
        "without contrastive learning",
        "without cross-domain",
        "without fusion",
    }


def test_curves_of_robustness_have_a_point_per_model_and_share() -> None:
    variants = list(study_named("s2_robustness").variants(WORLD))
    points = {(variant.model, variant.curve.split()[-1], variant.value) for variant in variants}
    assert points == {
        *((model, "labels", share) for model in SWEPT for share in SHARES),
        *((model, "items", share) for model in SWEPT for share in NOISE),
    }
    for variant in variants:
        task = variant.alter(WORLD).task
        if "wrong" in variant.curve:
            wrong = np.mean(task.data.items_E[task.refit_E] != WORLD.task.data.items_E[task.refit_E])
            assert wrong == pytest.approx(variant.value, abs=0.01)
        else:
            assert task.refit_E.sum() / WORLD.task.refit_E.sum() == pytest.approx(variant.value, abs=0.01)


def test_domains_are_told_apart_by_name_else_by_the_most_usual_genre() -> None:
    assert domain_attribute(style_items()) == "domain"
    names = ("domain=film", "genres=Drama", "genres=War")
    codes = [[0, 1] if item % 3 else [0, 2] for item in range(NUM_ITEMS)]
    labels = ItemLabels(
        names=names, offsets=2 * np.arange(NUM_ITEMS + 1), codes_A=np.array([code for own in codes for code in own])
    )
    films = replace(style_items(), labels=labels)
    assert domain_attribute(films) == "genres=Drama"
    assert parts_by(films, domain_attribute(films)).names == ("Drama", "")
    assert domain_attribute(films.without(LABELS)) == "domain"


def test_every_positive_is_of_one_domain_and_users_new_to_it_did_nothing_there() -> None:
    found, test = positives_by_domain(WORLD), WORLD.task.test
    assert set(found) == {"a", "b"}, "whoever is asked for a domain was there before"
    assert (found["a"] ^ found["b"]).all()
    # Without what was seen of the second domain, everybody who is asked for it is new to it.
    histories = test.histories
    kept_H = DOMAIN_I[histories.items_H] == 0
    lengths_N = np.bincount(histories.targets_H[kept_H], minlength=len(test))
    blind = replace(
        histories,
        offsets=np.concatenate([[0], np.cumsum(lengths_N)]),
        items_H=histories.items_H[kept_H],
        times_H=histories.times_H[kept_H],
        behaviors_H=histories.behaviors_H[kept_H],
    )
    one_sided = replace(WORLD, task=replace(WORLD.task, test=replace(test, histories=blind)))
    found = positives_by_domain(one_sided)
    assert np.array_equal(found["b"], found["b, users new to them"])
    assert (test.users_N[test.targets_P[found["b"]]] < NUM_BOTH).all()
