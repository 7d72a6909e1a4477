"""The recipe "align" on the simulator's shop: whole, broken off, with studies, and what it leaves for others."""

import json
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from mmrec.catalog.item import CatalogItem, catalog_entry
from mmrec.config import Settings
from mmrec.content.alignment import IMAGE, TEXT, AlignmentModel
from mmrec.content.encode import encode_items
from mmrec.content.registry import encoder
from mmrec.content.store import ContentStore
from mmrec.errors import ConfigurationError
from mmrec.reports.findings import Histograms, Table, Text, read_findings
from mmrec.simulator.settings import StorefrontConfig
from mmrec.simulator.storefront import Storefront
from mmrec.training.align_recipe import ALIGN, AlignOptions, pairs_of, prepare, views_of
from mmrec.training.alignment_figures import gallery_rows, recalls
from mmrec.training.altered_items import altered_items
from mmrec.training.recipe import DeploymentData, train_here

OPTIONS = AlignOptions(
    num_heads=2, embedding_dim=16, projected_dim=32, hidden_dim=32, epochs=3, batch_size=64, label_attribute="category"
)


@pytest.fixture(scope="module")
def shop(tmp_path_factory) -> DeploymentData:
    items = list(Storefront(StorefrontConfig(seed=5, num_users=2, num_items=80, days=1.0)).catalog())
    store = ContentStore(tmp_path_factory.mktemp("content"))
    encoders = {IMAGE: encoder(IMAGE, "color-histogram"), TEXT: encoder(TEXT, "hashing-tf")}
    content = encode_items(items, encoders, store).matrix
    return DeploymentData(
        settings=Settings(),
        content=lambda: content,
        entries=lambda item_ids: {item.item_id: catalog_entry(item) for item in items},
        items=lambda: iter(items),
    )


def test_a_run_leaves_a_model_that_serves_its_figures_and_a_report(shop, tmp_path) -> None:
    told = []
    train_here(ALIGN, OPTIONS, shop, out=tmp_path / "out", tell=lambda event, **figures: told.append(event))
    model = AlignmentModel.load(tmp_path / "out")
    assert model.embedding_dim == 32
    assert model.encoders == {IMAGE: "color-histogram", TEXT: "hashing-tf"}
    vectors, known = model.embed_items(shop.content())
    assert known.all()
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    figures = json.loads((tmp_path / "out" / "metrics.json").read_text())
    pairs = pairs_of(OPTIONS, shop)
    again = recalls(model, pairs, gallery_rows(pairs, gallery=OPTIONS.gallery, seed=OPTIONS.seed))
    for name, value in again.items():
        assert figures[name] == pytest.approx(value, abs=1e-6), "the saved model is the one that was measured"
    assert figures["text_to_image_recall_at_10_strict"] <= figures["text_to_image_recall_at_10"]
    assert figures["gallery"] == len(pairs.parts["test"])
    assert model.notes["figures"]["chance"] == figures["chance"] == min(1.0, 10 / figures["gallery"])
    curves = json.loads((tmp_path / "out" / "curves.json").read_text())["align"]
    assert [[curve["epoch"] for curve in head] for head in curves] == [[1.0, 2.0, 3.0]] * 2
    titles = [part.title for part in read_findings(tmp_path / "out").parts]
    assert "Similarities before alignment" in titles and "Similarities after alignment" in titles
    assert told.count("align_epoch") == 6


class InterruptedRunError(Exception):
    """Raised where a run is broken off."""


@pytest.mark.parametrize("epochs_before", [1, 3, 4])
def test_a_run_that_broke_off_within_a_head_or_between_two_ends_where_an_unbroken_one_does(
    shop, tmp_path, epochs_before
) -> None:
    train_here(ALIGN, OPTIONS, shop, out=tmp_path / "whole")
    seen = []

    def train_and_break(desk) -> None:
        def save(figures, write) -> None:
            desk.save(figures, write)
            seen.append(figures)
            if len(seen) == epochs_before:
                raise InterruptedRunError

        ALIGN.train(replace(desk, save=save))

    with pytest.raises(InterruptedRunError):
        train_here(replace(ALIGN, train=train_and_break), OPTIONS, shop, out=tmp_path / "broken")
    told = []
    train_here(ALIGN, OPTIONS, shop, out=tmp_path / "broken", tell=lambda event, **figures: told.append(event))
    assert told[told.index("resumed") :].count("align_epoch") == 6 - epochs_before
    whole, resumed = (AlignmentModel.load(tmp_path / name) for name in ("whole", "broken"))
    content = shop.content()
    np.testing.assert_allclose(resumed.embed_items(content)[0], whole.embed_items(content)[0], atol=1e-5)


def test_other_vectors_or_options_are_another_run(shop) -> None:
    content = shop.content()
    other = DeploymentData(
        settings=shop.settings,
        content=lambda: replace(content, values={**content.values, IMAGE: content.values[IMAGE] * 0.5}),
        entries=shop.entries,
        items=shop.items,
    )
    described = {prepare(OPTIONS, shop), prepare(OPTIONS, other), prepare(AlignOptions(), shop)}
    assert len(described) == 3
    assert prepare(OPTIONS, shop) in described


def test_studies_report_every_figure_of_the_paper(shop, tmp_path) -> None:
    options = replace(OPTIONS, num_heads=1, epochs=1, studies=True)
    train_here(ALIGN, options, shop, out=tmp_path / "out")
    parts = {part.title: part for part in read_findings(tmp_path / "out").parts}
    for name in ("learned", "fixed at 0.07", "fixed at 0.5"):
        assert isinstance(parts[f"Similarities, temperature {name}"], Histograms)
    assert set(parts["Weights by regularization technique"].counts) == {"none", "dropout", "L2", "L1"}
    assert len(parts["Loss with and without regularization"].lines) == 8
    seen = parts["Accuracy with and without augmentation"]
    assert isinstance(seen, Table)
    assert {(row[0], row[1]) for row in seen.rows} == {(a, b) for a in ("with", "without") for b in ("seen", "unseen")}
    on_clutter = parts["Products photographed amid clutter"]
    assert [row[1] for row in on_clutter.rows] == ["studio", "clutter"] * 2


def test_without_pictures_the_studies_that_alter_them_say_so(shop, tmp_path) -> None:
    def bare() -> Iterator[CatalogItem]:
        for item in shop.items():
            yield CatalogItem(item_id=item.item_id, title=item.title)

    data = DeploymentData(settings=shop.settings, content=shop.content, entries=shop.entries, items=bare)
    options = replace(OPTIONS, num_heads=1, epochs=1, studies=True)
    train_here(ALIGN, options, data, out=tmp_path / "out")
    last = read_findings(tmp_path / "out").parts[-1]
    assert isinstance(last, Text)
    assert "No pictures to alter" in last.paragraphs[0]
    with pytest.raises(ConfigurationError, match=r"training\.align\.altered is 'cluttered', and no item"):
        train_here(ALIGN, replace(options, studies=False, altered="cluttered"), data, out=tmp_path / "other")


def test_altered_pictures_and_texts_are_shown_where_they_are_asked_for(shop) -> None:
    pairs = pairs_of(OPTIONS, shop)
    assert views_of(OPTIONS, pairs, shop) is None
    train = pairs.parts["train"]
    views = views_of(replace(OPTIONS, altered="augmented", num_altered=10), pairs, shop)
    for modality in (IMAGE, TEXT):
        shown = views(modality, train, np.random.default_rng(0))
        assert 1 <= (shown != pairs.inputs[modality][train]).any(axis=1).sum() <= 10


def test_altered_copies_are_shown_half_of_the_time_and_only_for_items_that_have_one(shop) -> None:
    pairs = pairs_of(OPTIONS, shop)
    rows = np.sort(pairs.parts["train"][:20])
    altered = altered_items(pairs, shop.items(), rows, seed=1)
    np.testing.assert_array_equal(altered.rows, rows)
    shown = altered.views("cluttered")(IMAGE, np.arange(len(pairs)), np.random.default_rng(0))
    changed = (shown != pairs.inputs[IMAGE]).any(axis=1)
    assert set(np.flatnonzero(changed)) <= set(rows.tolist())
    assert 3 <= changed.sum() <= 17
    np.testing.assert_array_equal(
        altered.views("cluttered")(TEXT, rows, np.random.default_rng(0)), pairs.inputs[TEXT][rows]
    )
