"""Figures of frozen encoders on planted vectors: perfect ones score 1, ones that know nothing score like chance."""

from dataclasses import replace

import numpy as np
import pytest

from mmrec.catalog.item import CatalogItem
from mmrec.content.registry import LazyEncoder
from mmrec.content.store import ContentStore
from mmrec.errors import InvalidRequestError
from mmrec.evaluation.content_metrics import unit_rows
from mmrec.evaluation.linear_probe import probed_labels
from mmrec.reports.content_figures import (
    COLOR_ENCODER,
    both,
    color_table,
    components,
    confusion_heat,
    content_findings,
    neighbors_table,
    retrieval_table,
    top_lists,
)
from mmrec.reports.encoded_catalogue import EncodedCatalogue, ReportEncoders, encode_catalogue
from mmrec.reports.judged_content import JudgedContent, class_attribute, judged_content

NUM_ITEMS, NUM_CLASSES = 240, 4


def one_hot(codes: np.ndarray, width: int) -> np.ndarray:
    return np.eye(width, dtype=np.float32)[codes]


def noise(width: int, scale: float = 0.02, *, seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, scale, (NUM_ITEMS, width)).astype(np.float32)


CODES = np.arange(NUM_ITEMS) % NUM_CLASSES
COLORS = np.arange(NUM_ITEMS) // NUM_CLASSES % 3
LOOKS = noise(16, 1.0)


@pytest.fixture(scope="module")
def judged() -> JudgedContent:
    """The image tells the class and not the color; the color histogram tells the color; the text is a turned image."""
    items = [
        CatalogItem(
            item_id=f"i{n}",
            title="twin" if n in {0, 4} else f"Title {n}",
            image=b"%d" % n,
            attributes={"articleType": f"c{CODES[n]}", "baseColour": f"k{COLORS[n]}" if n % 20 else "Unknown"},
        )
        for n in range(NUM_ITEMS)
    ]
    turn, _ = np.linalg.qr(np.random.default_rng(4).normal(size=(16, 16)))
    looks = unit_rows(one_hot(CODES, 16) * 3 + LOOKS * 0.3)
    encoded = EncodedCatalogue(
        items=tuple(items),
        images={"planted": looks, COLOR_ENCODER: unit_rows(one_hot(COLORS, 8) + noise(8))},
        text_encoder="turned",
        texts_ID=(looks @ turn).astype(np.float32),
    )
    return judged_content(encoded, seed=1)


def test_vectors_that_tell_the_class_find_it_and_others_do_not(judged: JudgedContent) -> None:
    rows = {row[0]: row[1] for row in neighbors_table(judged).rows}
    assert rows["planted"] == rows["turned"] == rows["planted and turned"] == 1.0
    assert abs(rows["the most frequent class"] - 1 / NUM_CLASSES) < 0.1
    assert rows[COLOR_ENCODER] < 0.5
    heat = confusion_heat(judged)
    assert sum(heat.values[n][n] for n in range(NUM_CLASSES)) == len(judged.test)


def test_a_color_histogram_brings_the_color_that_the_network_misses(judged: JudgedContent) -> None:
    rows = {row[0]: row[1] for row in color_table(judged).rows}
    assert rows[f"planted with {COLOR_ENCODER}"] == rows[COLOR_ENCODER] == 1.0
    assert rows["planted"] < 0.6


def test_similar_texts_lead_to_the_right_pictures_more_often_than_chance(judged: JudgedContent) -> None:
    chance, bridged = retrieval_table(judged).rows
    assert chance[1] == 10 / len(judged.test)
    assert chance[1] < bridged[1] <= bridged[2]


def test_lists_leave_out_the_query_and_what_shares_its_title(judged: JudgedContent) -> None:
    for strips in top_lists(replace(judged, parts={**judged.parts, "test": np.array([0, 4, 9])}), num_lists=3):
        for strip, query in zip(strips.strips, ("i0", "i4", "i9"), strict=True):
            assert len(strip.item_ids) == 5 and not set(strip.item_ids) & {query}
            if query != "i9":
                assert not set(strip.item_ids) & {"i0", "i4"}
            own = int(query[1:]) % NUM_CLASSES
            assert all(int(item_id[1:]) % NUM_CLASSES == own for item_id in strip.item_ids)


def test_the_cosine_of_both_is_the_weighted_mean_of_the_cosines(judged: JudgedContent) -> None:
    images, texts = judged.images["planted"], judged.texts_ID
    joined = both(judged, image_weight=0.3)
    assert joined @ joined[5] == pytest.approx(0.3 * images @ images[5] + 0.7 * texts @ texts[5], abs=1e-5)


def test_components_are_the_directions_of_largest_variance(judged: JudgedContent) -> None:
    places = components(judged)
    values = judged.images["planted"].astype(np.float64)
    singular = np.linalg.svd(values - values.mean(axis=0), compute_uv=False)
    assert np.linalg.norm(places.xs) == pytest.approx(singular[0], rel=1e-3)
    assert np.linalg.norm(places.ys) == pytest.approx(singular[1], rel=1e-3)


def test_no_part_of_the_split_shares_a_title_and_colors_that_stand_for_none_are_not_judged(
    judged: JudgedContent,
) -> None:
    assert "k" not in set(judged.labels("baseColour").tolist()) and "" in judged.labels("baseColour")
    part_of = {row: name for name, rows in judged.parts.items() for row in rows.tolist()}
    assert part_of[0] == part_of[4]
    titles = [part.title for part in content_findings(judged, num_lists=1).parts]
    assert len(titles) == 8 and any("Like a photograph" in title for title in titles)


def test_trainings_read_the_encoders_as_one(judged: JudgedContent) -> None:
    matrix = judged.encoded.matrix
    assert matrix.encoders == {"image": f"planted+{COLOR_ENCODER}", "text": "turned"}
    assert np.linalg.norm(matrix.values["image"], axis=1) == pytest.approx(np.ones(NUM_ITEMS), abs=1e-5)


def test_too_few_pictures_and_items_without_attributes_are_refused(tmp_path) -> None:
    encoders = ReportEncoders(images=[LazyEncoder("image", COLOR_ENCODER)], text=LazyEncoder("text", "hashing-tf"))
    items = [CatalogItem(item_id=str(n), title="a", image=b"no picture") for n in range(30)]
    with pytest.raises(InvalidRequestError, match="0 items have a picture that can be read; figures need 20"):
        encode_catalogue(items, encoders, store=ContentStore(tmp_path), tell=lambda event, **figures: None)
    with pytest.raises(InvalidRequestError, match="give a catalogue with a category"):
        class_attribute(items)


def test_a_linear_probe_separates_what_a_plane_separates_and_reaches_the_optimum() -> None:
    points = np.random.default_rng(5).normal(size=(300, 5)).astype(np.float32)
    labels = np.where(points @ np.array([1, -2, 0.5, 0, 3]) > 0.2, "yes", "no")
    assert (probed_labels(points[:200], labels[:200], points[200:]) == labels[200:]).mean() > 0.95
    # More steps change nothing: the convex optimum is reached.
    few, many = (probed_labels(points[:200], labels[:200], points, num_steps=n, l2=0.05) for n in (120, 2_000))
    assert (few == many).mean() > 0.99
    with pytest.raises(ValueError, match="one per item"):
        probed_labels(points, labels[:3], points)
