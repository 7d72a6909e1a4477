"""Altered copies of pictures and texts: what they keep, whatever is drawn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmrec.content.augment import (
    SYNONYMS,
    augmented_picture,
    augmented_text,
    brightened,
    clutter,
    contrasted,
    cropped,
    flipped,
    on_clutter,
    product_mask,
    rotated,
)
from mmrec.errors import InvalidRequestError

SEEDS = st.integers(0, 2**32 - 1)
STRENGTHS = st.floats(0, 1)
FEW = settings(max_examples=25, deadline=None)


def picture(seed: int, height: int = 20, width: int = 16) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def product(color: tuple[int, int, int] = (200, 30, 40), *, hole: bool = False) -> np.ndarray:
    """A colored square of 16 amid 32 white pixels; with a white hole in its middle."""
    pixels = np.full((32, 32, 3), 255, dtype=np.uint8)
    pixels[8:24, 8:24] = color
    if hole:
        pixels[14:18, 14:18] = 255
    return pixels


@FEW
@given(SEEDS, STRENGTHS, st.integers(2, 40), st.integers(2, 40))
def test_a_copy_of_a_picture_has_its_shape_and_the_same_seed_gives_the_same_copy(seed, strength, height, width) -> None:
    pixels = picture(seed, height, width)
    before = pixels.copy()
    one, other = (augmented_picture(pixels, np.random.default_rng(seed), strength=strength) for _ in range(2))
    assert one.shape == pixels.shape and one.dtype == np.uint8
    np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(pixels, before)


@FEW
@given(SEEDS)
def test_no_change_is_the_input(seed) -> None:
    pixels, drawn = picture(seed), np.random.default_rng(seed)
    for same in (
        augmented_picture(pixels, drawn, strength=0),
        rotated(pixels, 0),
        cropped(pixels, 1.0),
        brightened(pixels, 1.0),
        contrasted(pixels, 1.0),
        flipped(flipped(pixels)),
    ):
        np.testing.assert_array_equal(same, pixels)
    assert augmented_text("Puma Men  Blue Shirt", drawn, strength=0) == "Puma Men  Blue Shirt"


def test_each_change_does_what_its_name_says() -> None:
    pixels = product()
    assert flipped(picture(1))[0, 0].tolist() == picture(1)[0, -1].tolist()
    turned = rotated(picture(2, 12, 12), 90)
    np.testing.assert_array_equal(turned, np.rot90(picture(2, 12, 12)))
    np.testing.assert_array_equal(rotated(pixels, 45)[0, 0], [255, 255, 255])  # corners that come in are background
    assert brightened(pixels, 0.5)[0, 0].tolist() == [128, 128, 128]
    assert brightened(pixels, 2.0).max() == 255
    np.testing.assert_allclose(contrasted(pixels, 0.0), pixels.mean(), atol=1)
    zoomed = cropped(pixels, 0.5)
    assert (zoomed == [200, 30, 40]).all(axis=2).mean() > (pixels == [200, 30, 40]).all(axis=2).mean() * 2
    corner = cropped(picture(3, 20, 20), 0.5, top=0.0, left=1.0)
    assert corner.mean() == pytest.approx(picture(3, 20, 20)[:10, 10:].mean(), abs=4)


def test_the_product_is_what_a_flood_over_white_from_the_border_does_not_reach() -> None:
    mask = product_mask(product(hole=True))
    assert mask[8:24, 8:24].all() and mask.sum() == 16 * 16
    assert product_mask(picture(1) // 2).all(), "without a white background everything is product"
    assert not product_mask(np.full((9, 9, 3), 255, dtype=np.uint8)).any()


@FEW
@given(SEEDS)
def test_a_product_on_clutter_is_still_there_and_its_white_is_gone(seed) -> None:
    background = clutter(48, np.random.default_rng(seed))
    placed = on_clutter(product(), background, np.random.default_rng(seed + 1))
    assert placed.shape == background.shape and placed.dtype == np.uint8
    reds = (abs(placed.astype(int) - [200, 30, 40]) <= 2).all(axis=2).sum()
    # The square of 16/32 of the side, at 65 to 95 % of 48 pixels, less its soft edge.
    assert 100 <= reds <= 600
    changed = (placed != background).any(axis=2)
    assert changed.mean() < 0.4, "only the product covers the background"
    np.testing.assert_array_equal(placed, on_clutter(product(), background, np.random.default_rng(seed + 1)))


def test_backgrounds_differ_by_seed_and_are_busy() -> None:
    one, other = clutter(64, np.random.default_rng(1)), clutter(64, np.random.default_rng(2))
    assert one.shape == (64, 64, 3) and one.std() > 20
    assert (one != other).any()
    np.testing.assert_array_equal(one, clutter(64, np.random.default_rng(1)))


def test_a_picture_of_nothing_but_white_is_pasted_whole() -> None:
    background = np.zeros((40, 40, 3), dtype=np.uint8)
    white = np.full((20, 20, 3), 255, dtype=np.uint8)
    assert (on_clutter(white, background, np.random.default_rng(0)) == 255).any()


WORDS = st.lists(st.sampled_from(["Men", "Blue", "Shirt", "Navy", "Puma", "Watch", "X"]), min_size=1, max_size=8)


@FEW
@given(WORDS, SEEDS, STRENGTHS)
def test_a_copy_of_a_text_keeps_its_words_or_their_synonyms_and_never_becomes_empty(words, seed, strength) -> None:
    text = " ".join(words)
    copies = [augmented_text(text, np.random.default_rng(seed), strength=strength) for _ in range(2)]
    assert copies[0] == copies[1]
    allowed = {word for w in words for same in (w, *SYNONYMS.get(w.lower(), ())) for word in same.split()}
    assert copies[0] and set(copies[0].split()) <= allowed


def test_full_strength_replaces_every_word_that_has_synonyms() -> None:
    table = {"red": ("crimson",)}
    copies = [
        augmented_text("red", np.random.default_rng(seed), strength=1.0, synonyms=table).split() for seed in range(20)
    ]
    assert all(set(copy) == {"crimson"} for copy in copies)


def test_synonyms_go_both_ways_and_never_name_the_word_itself() -> None:
    for word, same in SYNONYMS.items():
        assert word not in same
        assert all(word in SYNONYMS[other] for other in same)


def test_a_rewriter_is_asked_first_with_the_given_chance() -> None:
    def shout(text: str, generator: np.random.Generator) -> str:
        del generator
        return text.upper()

    copies = [
        augmented_text("zig zag zog", np.random.default_rng(seed), strength=0.5, rewriters=(shout,))
        for seed in range(200)
    ]
    assert 60 < sum(copy.isupper() for copy in copies) < 140


@pytest.mark.parametrize("strength", [-0.1, 1.1])
def test_a_strength_out_of_range_is_named(strength) -> None:
    with pytest.raises(InvalidRequestError, match=f"strength is {strength}; give a number from 0 to 1"):
        augmented_picture(picture(1), np.random.default_rng(0), strength=strength)
    with pytest.raises(InvalidRequestError, match=f"strength is {strength}"):
        augmented_text("a", np.random.default_rng(0), strength=strength)
