"""The one place that opens a picture: bytes -> RGB as people see it, or BrokenPictureError with what is wrong.

    pixels = read_picture(payload, size=224)        # uint8, (224, 224, 3)

Cleaning and encoders both come through here, so that what cleaning lets through can be encoded. Whatever a decoder
raises becomes a reason: AVIF's raises RuntimeError, others struct.error, zlib.error, SystemError or MemoryError.

How a picture is read:
    first frame          of an animation, of a TIFF with several pages; an icon's largest picture
    orientation          as EXIF says (JPEG, PNG, WebP, AVIF, TIFF)
    transparent pixels   on white
    CMYK and Lab         through the picture's color profile where it has a usable one; JPEG's CMYK is Adobe's, inverted
    16-bit gray          white is 65535; a TIFF, which often holds 10 or 12 bits in 16, has white at the smallest
                         2^b - 1 of 8 bits or more that holds its brightest pixel
    float gray           white is 1 and black is 0 where all values lie there, else the picture's own range is
                         stretched; what is not finite is black

Memory is bounded by MAX_PIXELS, seen before anything is decoded: at most 12 bytes a pixel, some 600 MB. Time is not
bounded in here, because no signal reaches a decoder: see mmrec.content.picture_worker.
"""

import io
import warnings
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms, ImageFile, UnidentifiedImageError

from mmrec.errors import InvalidRequestError

MAX_PIXELS: Final = 50_000_000
"""Larger pictures count as broken."""
FORMATS: Final = ("AVIF", "BMP", "GIF", "ICO", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
"""What is read. Pillow knows forty more, among them one that runs a PostScript interpreter."""
MAX_DETAIL: Final = 300
_ORIENTATION_TAG, _PHOTOMETRIC_TAG, _SAMPLE_FORMAT_TAG = 0x0112, 262, 339
_MIN_IS_WHITE, _UNSIGNED = 0, 1
_TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
ImageFile.LOAD_TRUNCATED_IMAGES = False


class BrokenPictureError(InvalidRequestError):
    """Bytes that are no picture we can read; the message says why, in at most MAX_DETAIL characters."""


def read_picture(payload: bytes, *, size: int) -> npt.NDArray[np.uint8]:
    """The picture squeezed into a square: RGB, shape (size, size, 3).

    Raises:
        BrokenPictureError: no picture, one of another format, too large, cut, or damaged in any way.
    """
    try:
        with warnings.catch_warnings():
            # Pillow warns of metadata it cannot read; pixels are what counts here.
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(payload), formats=FORMATS) as picture:
                if picture.width * picture.height > MAX_PIXELS:
                    raise BrokenPictureError(
                        f"{picture.width} x {picture.height} pixels; give at most {MAX_PIXELS} in all"
                    )
                # A JPEG is decoded at the smallest scale that still holds `size`.
                picture.draft("YCbCr" if picture.mode == "RGB" else None, (size, size))
                picture.load()
                rgb = _turned(_as_rgb(picture), _orientation(picture))
                return np.asarray(rgb.resize((size, size), Image.Resampling.BICUBIC), dtype=np.uint8)
    except BrokenPictureError:
        raise
    except UnidentifiedImageError:
        raise BrokenPictureError(f"{len(payload)} bytes that are no {', '.join(FORMATS)}") from None
    except Exception as error:
        raise BrokenPictureError(f"{type(error).__name__}: {error}".removesuffix(": ")[:MAX_DETAIL]) from error


def picture_problem(payload: bytes) -> str:
    """Why the picture cannot be read; empty where it can, to its last pixel."""
    try:
        read_picture(payload, size=8)
    except BrokenPictureError as error:
        return str(error)
    return ""


def _orientation(picture: Image.Image) -> int:
    if picture.format == "TIFF":
        return 1  # Pillow turned it as it loaded
    try:
        found = picture.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:  # metadata that is damaged does not take the picture away
        return 1
    return found if isinstance(found, int) else 1


def _turned(picture: Image.Image, orientation: int) -> Image.Image:
    turn = _TURNS.get(orientation)
    return picture if turn is None else picture.transpose(turn)


def _as_rgb(picture: Image.Image) -> Image.Image:
    mode = picture.mode
    if mode == "F":
        return Image.fromarray(_float_gray(np.asarray(picture))).convert("RGB")
    if mode == "I" or mode.startswith("I;16"):
        return Image.fromarray(_integer_gray(picture)).convert("RGB")
    if mode in {"CMYK", "LAB"}:
        return _through_profile(picture)
    if mode in {"RGBa", "La"}:
        picture = picture.convert("RGBA" if mode == "RGBa" else "LA")
    if picture.mode in {"RGBA", "LA", "PA"} or "transparency" in picture.info:
        layered = picture.convert("RGBA")
        flat = Image.new("RGB", layered.size, (255, 255, 255))
        flat.paste(layered, mask=layered.getchannel("A"))
        return flat
    return picture.convert("RGB")


def _float_gray(values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    finite = np.isfinite(values)
    if not finite.any():
        return np.zeros(values.shape, dtype=np.uint8)
    low, high = float(values.min(where=finite, initial=np.inf)), float(values.max(where=finite, initial=-np.inf))
    if low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    return _scaled(np.where(finite, values, np.float32(low)), low, high)


def _integer_gray(picture: Image.Image) -> npt.NDArray[np.uint8]:
    values = np.asarray(picture)
    tags: Any = getattr(picture, "tag_v2", {})
    low, white = 0, 65535
    if picture.format == "TIFF":
        if picture.mode == "I" and tags.get(_SAMPLE_FORMAT_TAG, (_UNSIGNED,))[0] == _UNSIGNED:
            values = values.view(np.uint32)  # Pillow hands 32 unsigned bits over as signed ones
        low = min(0, int(values.min()))
        white = 2 ** max(8, int(values.max()).bit_length()) - 1
    gray = _scaled(values, low, white)
    return 255 - gray if tags.get(_PHOTOMETRIC_TAG) == _MIN_IS_WHITE else gray


def _scaled(values: npt.NDArray[Any], low: float, high: float) -> npt.NDArray[np.uint8]:
    """round(255 (v - low) / (high - low)); black where the range is empty."""
    if not high > low:
        return np.zeros(values.shape, dtype=np.uint8)
    scaled = values.astype(np.float32)
    # Divided first: the range of two floats may be no float32.
    scaled = scaled / np.float32(2) - np.float32(low / 2)
    scaled *= np.float32(255 / (high / 2 - low / 2))
    return np.rint(np.clip(scaled, 0, 255)).astype(np.uint8)


def _through_profile(picture: Image.Image) -> Image.Image:
    """CMYK or Lab as sRGB: by the embedded profile, else by Lab's own definition or the plain inverse of CMYK."""
    try:
        if picture.mode == "LAB":
            profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
        else:
            profile = ImageCms.ImageCmsProfile(io.BytesIO(picture.info["icc_profile"]))
        converted = ImageCms.profileToProfile(picture, profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except Exception:  # no profile, a damaged one, or one for other colors
        converted = None
    return converted if converted is not None else picture.convert("RGB")
