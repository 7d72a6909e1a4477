"""Pictures of simulated products: a silhouette by category, filled with the item's color and pattern.

Drawn at twice the size and scaled down. Slim, classic and bold change the proportions; glossy and shimmering things
catch light; the background says the season. The same arguments give the same JPEG bytes.
"""

import io
from collections.abc import Mapping
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw

from mmrec.simulator.silhouettes import SILHOUETTES, Part
from mmrec.simulator.vocabulary import COLORS

PROPORTIONS = {"slim": (0.76, 1.08), "classic": (1.0, 1.0), "bold": (1.2, 0.95)}
BACKGROUNDS = {
    "all-year": (244, 242, 238),
    "spring": (233, 244, 230),
    "summer": (252, 243, 219),
    "autumn": (246, 232, 218),
    "winter": (226, 236, 246),
}
METAL = (196, 188, 172)
DARK = (58, 54, 56)
WHITE = (250, 249, 246)
MEDIA_TYPE = "image/jpeg"


def render(attributes: Mapping[str, str], *, size: int) -> bytes:
    """JPEG of a product of `size` x `size` pixels.

    Args:
        attributes: category, color, pattern, shape, season and finish or material, as the catalogue names them.
    """
    side = 2 * size
    rgb = COLORS[attributes["color"]]
    picture = _background(side, attributes["season"]).copy()
    fills = {
        "body": _fabric(side, rgb, attributes["pattern"]),
        "trim": _flat(side, tuple(int(channel * 0.62) for channel in rgb)),
        "metal": _flat(side, METAL),
        "dark": _flat(side, DARK),
        "white": _flat(side, WHITE),
    }
    parts = SILHOUETTES[attributes["category"]]
    wide, tall = PROPORTIONS[attributes["shape"]]
    half_width = max(abs(x - 0.5) for part in parts for x, _ in part.points)
    proportions = (min(wide, 0.475 / half_width), tall)
    surface = attributes.get("finish") or attributes.get("material") or ""
    for part in parts:
        mask = _mask(side, part, proportions)
        fill = fills[part.role]
        if part.role in {"body", "metal", "trim"}:
            fill = _lit(fill, surface if part.role == "body" else "")
        picture.paste(fill, (0, 0), mask)
    small = picture.resize((size, size), Image.Resampling.BOX)
    out = io.BytesIO()
    small.save(out, format="JPEG", quality=88, subsampling=0)
    return out.getvalue()


@lru_cache(maxsize=16)
def _background(side: int, season: str) -> Image.Image:
    y, x = _grid(side)
    glow = 1.03 - 0.16 * ((x - 0.5) ** 2 + (y - 0.45) ** 2)
    shadow = 1 - 0.16 * np.exp(-(((x - 0.5) / 0.26) ** 2 + ((y - 0.91) / 0.035) ** 2))
    base = np.array(BACKGROUNDS[season])[None, None, :] * (glow * shadow)[:, :, None]
    return Image.fromarray(np.clip(base, 0, 255).astype(np.uint8))


@lru_cache(maxsize=128)
def _fabric(side: int, rgb: tuple[int, int, int], pattern: str) -> Image.Image:
    y, x = _grid(side)
    if pattern == "striped":
        marked = (y * 11) % 1 < 0.42
    elif pattern == "dotted":
        row = np.floor(y * 10)
        marked = ((x * 10 + 0.5 * (row % 2)) % 1 - 0.5) ** 2 + ((y * 10) % 1 - 0.5) ** 2 < 0.085
    elif pattern == "checked":
        marked = (np.floor(x * 12) + np.floor(y * 12)) % 2 == 0
    elif pattern == "waved":
        marked = (y * 9 + 0.28 * np.sin(2 * np.pi * x * 4.5)) % 1 < 0.36
    else:
        marked = np.zeros_like(x, dtype=bool)
    color = np.array(rgb, dtype=np.float64)
    # Marks stand out on dark and on light grounds.
    mark = color + (255 - color) * 0.72 if color.mean() < 165 else color * 0.52
    values = np.where(marked[:, :, None], mark, color)
    return Image.fromarray(values.astype(np.uint8))


@lru_cache(maxsize=64)
def _flat(side: int, rgb: tuple[int, int, int]) -> Image.Image:
    return Image.new("RGB", (side, side), rgb)


def _lit(fill: Image.Image, surface: str) -> Image.Image:
    """The fill with light from the left and what its surface does with it."""
    values = np.asarray(fill).astype(np.float32) * _light(fill.width)[:, :, None]
    shine = _shine(fill.width, surface)
    if shine is not None:
        values += (255 - np.minimum(values, 255)) * shine[:, :, None]
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))


@lru_cache(maxsize=4)
def _light(side: int) -> np.ndarray:
    _, x = _grid(side)
    light: np.ndarray = (1.10 - 0.34 * np.abs(x - 0.42) ** 1.3 * 2.2).astype(np.float32)
    return light


@lru_cache(maxsize=32)
def _shine(side: int, surface: str) -> np.ndarray | None:
    y, x = _grid(side)
    if surface in {"glossy", "silk"}:
        shine: np.ndarray = 0.75 * np.exp(-(((x - 0.4 + 0.08 * (y - 0.5)) / 0.022) ** 2))
    elif surface == "shimmering":
        cells = np.random.default_rng(5).random((72, 72)) > 0.96
        shine = 0.8 * cells[(y * 71).astype(int), (x * 71).astype(int)]
    elif surface in {"denim", "wool", "linen"}:
        step = {"denim": 90, "wool": 40, "linen": 64}[surface]
        shine = 0.14 * (((x + (y if surface == "denim" else 0)) * step) % 1 < 0.5)
    else:
        return None
    light: np.ndarray = shine.astype(np.float32)
    return light


@lru_cache(maxsize=256)
def _mask(side: int, part: Part, proportions: tuple[float, float]) -> Image.Image:
    mask = Image.new("L", (side, side), 0)
    draw = ImageDraw.Draw(mask)
    points = [
        ((0.5 + (x - 0.5) * proportions[0]) * side, (0.9 + (y - 0.9) * proportions[1] * 0.92) * side)
        for x, y in part.points
    ]
    if part.kind == "ellipse":
        draw.ellipse([*points[0], *points[1]], fill=255)
    elif part.kind == "box":
        draw.rounded_rectangle([*points[0], *points[1]], radius=part.radius * side, fill=255)
    elif part.kind == "arc":
        draw.arc([*points[0], *points[1]], start=180, end=360, fill=255, width=max(1, round(part.radius * side)))
    else:
        draw.polygon(points, fill=255)
    return mask


@lru_cache(maxsize=4)
def _grid(side: int) -> tuple[np.ndarray, np.ndarray]:
    axis = (np.arange(side) + 0.5) / side
    y, x = np.meshgrid(axis, axis, indexing="ij")
    return y, x
