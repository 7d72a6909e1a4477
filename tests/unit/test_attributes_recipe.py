"""The recipe "attributes": from a deployment to a model in use, through broken runs, with findings for the report."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mmrec.catalog.item import CatalogEntry
from mmrec.config import Settings
from mmrec.content.attribute_heads import AttributeHeads
from mmrec.content.inferred import AttributeInference
from mmrec.errors import ConfigurationError, NotFoundError
from mmrec.reports.findings import Heat, Table, read_findings
from mmrec.training.attributes_recipe import ATTRIBUTES, AttributeOptions
from mmrec.training.recipe import DeploymentData, train_here
from mmrec.training.recipes import recipe_named
from tests.attribute_world import planted

OPTIONS = AttributeOptions(hidden_dim=32, epochs=4, patience=4)


def deployment(**world: object) -> DeploymentData:
    content, entries = planted(**world)  # type: ignore[arg-type]

    def of(item_ids: Sequence[str]) -> Mapping[str, CatalogEntry]:
        return {item_id: entries[item_id] for item_id in item_ids}

    return DeploymentData(settings=Settings(), content=lambda: content, entries=of, items=lambda: iter(()))


def test_a_run_leaves_a_model_that_fills_what_is_missing_and_says_what_it_is_worth(tmp_path) -> None:
    shop = deployment(num_items=600)
    train_here(ATTRIBUTES, replace(OPTIONS, epochs=12, patience=12), shop, out=tmp_path / "model")
    metrics = json.loads((tmp_path / "model" / "metrics.json").read_text())
    assert metrics["accuracy.kind"] > 0.9
    assert metrics["neighbors.kind"] > 0.9
    assert metrics["majority.kind"] < 0.5
    heads = AttributeHeads.load(tmp_path / "model")
    assert heads.notes["figures"] == metrics
    assert heads.notes["refit_on"] == heads.notes["split"]["train"] + heads.notes["split"]["validation"]
    content = shop.content()
    bare = {item_id: CatalogEntry(item_id=item_id) for item_id in content.item_ids}
    filled = AttributeInference(heads, least=0.8).completed(bare, content)
    given = shop.entries(content.item_ids)
    right = [e.attributes["kind"] == given[i].attributes["kind"] for i, e in filled.items() if "kind" in e.attributes]
    assert len(right) > 300
    assert np.mean(right) > 0.9
    findings = read_findings(tmp_path / "model")
    table = next(part for part in findings.parts if isinstance(part, Table))
    assert [row[0] for row in table.rows] == ["color", "kind"]
    assert any(isinstance(part, Heat) for part in findings.parts)


class BrokenOffError(Exception):
    """Stands for a lost machine."""


def test_a_run_that_broke_off_goes_on_and_ends_as_if_it_had_not(tmp_path) -> None:
    shop = deployment()
    train_here(ATTRIBUTES, OPTIONS, shop, out=tmp_path / "whole")

    def break_off(out: Path) -> None:
        fitted = replace(ATTRIBUTES, train=lambda desk: ATTRIBUTES.train(replace(desk, save=breaking(desk.save))))
        with pytest.raises(BrokenOffError):
            train_here(fitted, OPTIONS, shop, out=out)

    def breaking(save):
        def saved(figures, write) -> None:
            save(figures, write)
            if figures["epoch"] == 2:
                raise BrokenOffError

        return saved

    break_off(tmp_path / "broken")
    told = []
    train_here(
        ATTRIBUTES, OPTIONS, shop, out=tmp_path / "broken", tell=lambda event, **figures: told.append((event, figures))
    )
    assert ("resumed", {"epoch": 2}) in told
    one, two = (AttributeHeads.load(tmp_path / name) for name in ("whole", "broken"))
    assert one.fingerprint == two.fingerprint


def test_another_catalogue_or_another_option_is_another_run() -> None:
    shop = deployment()
    first = ATTRIBUTES.prepare(OPTIONS, shop)
    assert ATTRIBUTES.prepare(OPTIONS, shop) == first
    assert ATTRIBUTES.prepare(replace(OPTIONS, class_weights="inverse-sqrt"), shop) != first
    assert ATTRIBUTES.prepare(OPTIONS, deployment(seed=1)) != first


def test_a_catalogue_without_attributes_is_refused_before_a_worker_starts() -> None:
    shop = deployment()
    bare = replace(shop, entries=lambda ids: {item_id: CatalogEntry(item_id=item_id) for item_id in ids})
    with pytest.raises(ConfigurationError, match="no attribute can be learned: no item has attributes"):
        ATTRIBUTES.prepare(OPTIONS, bare)
    with pytest.raises(NotFoundError, match="attributes, finetune"):
        recipe_named("attribute")
