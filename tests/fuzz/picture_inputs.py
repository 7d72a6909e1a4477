"""Pictures in every format and mode that Pillow writes, whole and damaged in their headers and bodies."""

import io
import struct
import warnings
import zlib
from functools import cache
from random import Random
from typing import Any, Final

import numpy as np
from PIL import Image

from tests.fuzz.byte_damage import damaged
from tests.fuzz.door import Fuzzed, Parts

MODES: Final = ("RGB", "RGBA", "L", "LA", "P", "1", "CMYK", "I;16", "I", "F", "YCbCr", "PA", "LAB", "HSV")
SIZES: Final = ((1, 1), (7, 5), (32, 24), (70, 64))
SLOW: Final = ("ICNS",)
"""Formats that always write large pictures, too."""
_NOT_PICTURES: Final = {"PDF", "MPEG"}
HEADER_BYTES: Final = 64
"""Within these most formats say what they are and how large."""


@cache
def _formats() -> tuple[str, ...]:
    Image.init()
    return tuple(sorted(set(Image.SAVE) & set(Image.OPEN) - _NOT_PICTURES))


@cache
def encoded(kind: str, mode: str, size: tuple[int, int]) -> bytes:
    """A picture of that format and mode; empty where the format cannot hold it."""
    rng = np.random.default_rng(len(kind) + size[0])
    pixels = rng.integers(0, 256, size=(size[1], size[0], 3), dtype=np.uint8)
    image = Image.fromarray(pixels).convert("L" if mode in {"I;16", "LA", "PA"} else "RGB")
    file = io.BytesIO()
    options: dict[str, Any] = {}
    if kind in {"JPEG", "TIFF", "WEBP", "PNG"}:
        exif = Image.Exif()
        exif[0x0112] = rng.integers(1, 9).item()
        options["exif"] = exif
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image.convert(mode).save(file, kind, **options)
            Image.open(io.BytesIO(file.getvalue())).load()
    except Exception:  # whatever a writer raises for a mode that its format lacks
        return b""
    return file.getvalue()


@cache
def animated(kind: str) -> bytes:
    """A picture of several frames."""
    frames = [Image.new("RGB", (16, 16), (40 * n, 0, 0)) for n in range(3)]
    file = io.BytesIO()
    frames[0].save(file, kind, save_all=True, append_images=frames[1:])
    return file.getvalue()


@cache
def pictures() -> tuple[tuple[str, bytes], ...]:
    """(format, file) of all that can be written and read back."""
    found = [
        (kind, data)
        for kind in _formats()
        for mode in (MODES if kind not in SLOW else MODES[:1])
        for size in (SIZES if kind not in SLOW else SIZES[-1:])
        if (data := encoded(kind, mode, size))
    ]
    return (*found, *((kind, animated(kind)) for kind in ("GIF", "WEBP", "PNG", "TIFF")))


def picture(rng: Random) -> bytes:
    """A plain picture that must be read."""
    return encoded(rng.choice(("PNG", "JPEG", "WEBP", "GIF")), "RGB", rng.choice(SIZES[1:]))


def valid_picture(rng: Random, _: int) -> Parts:
    """A file that must be read."""
    return (picture(rng),)


def malformed_picture(rng: Random, number: int) -> Fuzzed:
    """A file of any format, damaged."""
    kind = rng.choice(_formats())
    data = rng.choice([d for k, d in pictures() if k == kind] or [picture(rng)])
    damage = rng.randrange(10)
    if damage == 0:
        return Fuzzed((data,), made_by=f"{kind} as it is")
    if damage == 1:
        return Fuzzed((_bomb(rng),), made_by="bomb")
    if damage == 2:
        other = rng.choice(pictures())[1]
        cut = rng.randrange(1, len(data) + 1)
        return Fuzzed((data[:cut] + other[min(cut, len(other)) :],), made_by=f"{kind} spliced")
    if damage <= 5:
        head = bytearray(data)
        for _ in range(rng.choice((1, 2, 5))):
            head[rng.randrange(min(HEADER_BYTES, len(head)))] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
        return Fuzzed((bytes(head),), made_by=f"{kind} header")
    value, _ = damaged(data, rng)
    return Fuzzed((value,), made_by=f"{kind} body")


def _bomb(rng: Random) -> bytes:
    """A PNG that says it is larger than what it holds, some of it beyond every bound."""
    width, height = rng.choice(
        ((1, 1), (100_000, 100_000), (2**31 - 1, 1), (0, 0), (6_000, 6_500), (2**32 - 1, 2**32 - 1))
    )
    header = struct.pack(">IIBBBBB", width, height, rng.choice((1, 8, 16)), rng.choice((0, 2, 3, 4, 6, 7)), 0, 0, 0)
    body = zlib.compress(b"\x00" * rng.choice((0, 10, 1_000_000)))
    chunks = ((b"IHDR", header), (b"IDAT", body), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in chunks
    )
