"""Altered copies of pictures and texts: two views of one input, and products amid clutter (METHODS M14).

    augmented_picture(pixels, generator, strength=0.5)          rotate, flip, crop and zoom, brightness, contrast
    on_clutter(pixels, clutter(224, generator), generator)      a studio photograph's product in a photograph of life
    augmented_text("Puma Men Blue Shirt", generator)            synonyms, a word twice, a word less, two words swapped

All are functions of their arguments and the generator alone: the same seed gives the same copy, strength 0 gives the
input. Pictures: Chen et al., SimCLR, ICML 2020; texts: Wei and Zou, EDA, EMNLP 2019; pasted products: Dwibedi et al.,
Cut, Paste and Learn, ICCV 2017. Audio: mmrec.content.audio_augment. Axes: H, W of a picture.
"""

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

from mmrec.errors import InvalidRequestError

Pixels = npt.NDArray[np.uint8]
"""RGB, (H, W, 3)."""
Mask = npt.NDArray[np.bool_]
MAX_DEGREES: Final = 20.0
MAX_CROP: Final = 0.4
"""Share of height and width that full strength may cut off."""
MAX_CHANGE: Final = 0.4
"""Of brightness and contrast, as a share, at full strength."""
NEAR_WHITE: Final = 236
"""A pixel whose darkest channel is at least this belongs to a white background, if the border can be reached from it
over such pixels."""


def rotated(pixels: Pixels, degrees: float) -> Pixels:
    """Turned counter-clockwise about its middle; corners that come in are as the border is on average."""
    fill = tuple(int(value) for value in _border(pixels).mean(axis=0).round())
    return np.asarray(Image.fromarray(pixels).rotate(degrees, Image.Resampling.BILINEAR, fillcolor=fill))


def flipped(pixels: Pixels) -> Pixels:
    """Left and right exchanged."""
    return np.ascontiguousarray(pixels[:, ::-1])


def cropped(pixels: Pixels, share: float, *, top: float = 0.5, left: float = 0.5) -> Pixels:
    """A part of the picture, as large as the whole: crop and zoom.

    Args:
        share: Of height and width that is kept, above 0, at most 1.
        top: Where the part stands: 0 at the upper edge, 1 at the lower one.
        left: The same from left to right.
    """
    height, width = pixels.shape[:2]
    rows, columns = max(1, round(height * share)), max(1, round(width * share))
    above, before = round((height - rows) * top), round((width - columns) * left)
    part = Image.fromarray(pixels[above : above + rows, before : before + columns])
    return np.asarray(part.resize((width, height), Image.Resampling.BILINEAR))


def brightened(pixels: Pixels, factor: float) -> Pixels:
    """Every value times `factor`."""
    return _pixels(pixels * np.float32(factor))


def contrasted(pixels: Pixels, factor: float) -> Pixels:
    """Every value's distance from the picture's mean times `factor`."""
    mean = np.float32(pixels.mean())
    return _pixels(mean + (pixels - mean) * np.float32(factor))


def augmented_picture(pixels: Pixels, generator: np.random.Generator, *, strength: float = 0.5) -> Pixels:
    """A copy that was rotated, cropped and zoomed, made brighter or darker, and flipped half of the time.

    Args:
        pixels: RGB, any size.
        generator: Source of all draws.
        strength: 0 to 1: how far each change may go; 0 gives the picture itself.
    """
    _check(strength)
    if not strength:
        return pixels
    degrees, crop, top, left, bright, contrast, mirror = generator.random(7)
    changed = rotated(pixels, strength * MAX_DEGREES * (2 * degrees - 1))
    changed = cropped(changed, 1 - strength * MAX_CROP * crop, top=top, left=left)
    changed = brightened(changed, 1 + strength * MAX_CHANGE * (2 * bright - 1))
    changed = contrasted(changed, 1 + strength * MAX_CHANGE * (2 * contrast - 1))
    return flipped(changed) if mirror < 0.5 else changed


def product_mask(pixels: Pixels, *, near_white: int = NEAR_WHITE) -> Mask:
    """True where the product is: all that a flood over near-white pixels from the border does not reach, (H, W).

    White within a product stays its own, as long as it does not touch the background.
    """
    white = pixels.min(axis=2) >= near_white
    edge = np.zeros_like(white)
    edge[[0, -1], :] = edge[:, [0, -1]] = True
    product: Mask = ~ndimage.binary_propagation(edge & white, mask=white)
    return product


def clutter(size: int, generator: np.random.Generator, *, num_shapes: int = 24) -> Pixels:
    """A made background, busy as a photograph of life is: rough color fields with boxes and discs over them.

    Args:
        size: Height and width.
        generator: Source of all draws.
        num_shapes: Boxes and discs.
    """
    field = np.zeros((size, size, 3), dtype=np.float32)
    for cells, weight in ((2, 0.5), (6, 0.3), (28, 0.2)):
        grid = Image.fromarray(generator.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        field += weight * np.asarray(grid.resize((size, size), Image.Resampling.BICUBIC), dtype=np.float32)
    rows, columns = np.mgrid[:size, :size]
    for _ in range(num_shapes):
        row, column = generator.integers(0, size, 2)
        height, width = generator.integers(size // 24 + 1, size // 5 + 2, 2)
        inside = (abs(rows - row) < height) & (abs(columns - column) < width)
        if generator.random() < 0.5:
            inside = ((rows - row) / height) ** 2 + ((columns - column) / width) ** 2 < 1
        field[inside] = 0.3 * field[inside] + 0.7 * generator.integers(0, 256, 3)
    return _pixels(field + generator.normal(0, 6, field.shape))


def on_clutter(
    pixels: Pixels, background: Pixels, generator: np.random.Generator, *, scale: tuple[float, float] = (0.65, 0.95)
) -> Pixels:
    """The product of a white studio photograph pasted onto another picture, smaller and anywhere in it.

    Args:
        pixels: A product before white; where no white background is found, the whole picture is pasted.
        background: As large as the result.
        generator: Source of all draws.
        scale: Bounds of the product picture's size, as a share of the background's.
    """
    height, width = background.shape[:2]
    mask = product_mask(pixels)
    if not mask.any():  # nothing but white: there is no product to cut out
        mask = np.ones_like(mask)
    share = generator.uniform(*scale)
    size = (max(1, round(width * share)), max(1, round(height * share)))
    product = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR), dtype=np.float32)
    # A soft edge of about a pixel, so that a rim of studio white does not tell where the product ends.
    alpha = np.asarray(Image.fromarray(ndimage.binary_erosion(mask)).convert("L").resize(size), dtype=np.float32)
    alpha = ndimage.gaussian_filter(alpha, 0.7)[:, :, None] / 255
    row = int(generator.integers(0, height - size[1] + 1))
    column = int(generator.integers(0, width - size[0] + 1))
    placed = background.astype(np.float32)
    there = (slice(row, row + size[1]), slice(column, column + size[0]))
    placed[there] = alpha * product + (1 - alpha) * placed[there]
    return _pixels(placed)


class Rewriter(Protocol):
    """Says a text in other words: a paraphrase, or a translation there and back. Bring one to use a language model."""

    def __call__(self, text: str, generator: np.random.Generator) -> str:
        """The text in other words, of the same meaning; the same for the same draws."""
        ...


SYNONYMS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        word: tuple(other for other in group if other != word)
        for group in (
            ("shirt", "top", "blouse"),
            ("tshirt", "tee", "t-shirt"),
            ("trousers", "pants", "slacks"),
            ("shoes", "footwear"),
            ("sneakers", "trainers"),
            ("handbag", "purse", "bag"),
            ("jumper", "sweater", "pullover"),
            ("cap", "hat"),
            ("sunglasses", "shades"),
            ("watch", "wristwatch"),
            ("men", "mens", "male"),
            ("women", "womens", "ladies", "female"),
            ("kids", "children", "childrens"),
            ("grey", "gray"),
            ("navy", "dark blue"),
            ("maroon", "dark red"),
            ("beige", "cream", "off white"),
            ("printed", "patterned"),
            ("striped", "stripes"),
            ("movie", "film"),
            ("funny", "comic"),
            ("scary", "frightening"),
        )
        for word in group
    }
)
"""Words of shops and films, in small letters, with words that mean the same."""
_WORD: Final = re.compile(r"\S+")


def augmented_text(
    text: str,
    generator: np.random.Generator,
    *,
    strength: float = 0.3,
    synonyms: Mapping[str, Sequence[str]] = SYNONYMS,
    rewriters: Sequence[Rewriter] = (),
) -> str:
    """A copy with synonyms, inserted words, words left out and words swapped.

    Args:
        text: Words with blanks between them; at least one word stays.
        generator: Source of all draws.
        strength: 0 to 1: the chance that a word is replaced by a synonym, a third of it each that a word is left out,
            that a synonym or a word of the text is inserted before it, and that it changes places with the next one. 0
            gives the text itself.
        synonyms: Word in small letters -> words that mean the same.
        rewriters: With chance `strength`, one of them rewrites the text first.
    """
    _check(strength)
    if not strength:
        return text
    if rewriters and generator.random() < strength:
        text = rewriters[int(generator.integers(len(rewriters)))](text, generator)
    words = _WORD.findall(text)
    changed: list[str] = []
    for word in words:
        same = synonyms.get(word.lower(), ())
        replace, leave_out, insert, swap, choice = generator.random(5)
        if leave_out < strength / 3 and len(words) > 2:
            continue
        if insert < strength / 3:
            changed.append(_one_of(same or words, choice))
        changed.append(_one_of(same, choice) if same and replace < strength else word)
        if swap < strength / 3 and len(changed) > 1:
            changed[-2:] = changed[:-3:-1]
    return " ".join(changed) or text


def _one_of(words: Sequence[str], choice: float) -> str:
    return words[int(choice * len(words))]


def _check(strength: float) -> None:
    if not 0 <= strength <= 1:
        raise InvalidRequestError(f"strength is {strength}; give a number from 0 to 1")


def _border(pixels: Pixels) -> npt.NDArray[np.float64]:
    edges = (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1])
    return np.concatenate(edges).astype(np.float64)


def _pixels(values: npt.NDArray[np.floating]) -> Pixels:
    rounded: Pixels = np.rint(np.clip(values, 0, 255)).astype(np.uint8)
    return rounded
