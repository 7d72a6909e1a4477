"""Pictures as people store them: what comes out is what people see, and what does not open has a reason."""

import os
import random
import signal
import struct
import time
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, PngImagePlugin

from mmrec.catalog.cleaning import CleaningPolicy, CleaningReason, clean_item
from mmrec.catalog.item import CatalogItem
from mmrec.catalog.pictures import MAX_PIXELS, BrokenPictureError, picture_problem, read_picture
from mmrec.content.modalities.image import ColorHistogramEncoder
from mmrec.content.picture_worker import PictureWorker
from tests.damaged_pictures import damaged_avif, endless_jpeg, saved

RED, BLUE, WHITE = (255, 0, 0), (0, 0, 255), (255, 255, 255)
FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")


def array(values: list[list[float]], kind: type) -> Image.Image:
    return Image.fromarray(np.array(values, dtype=kind))


def gray(payload: bytes) -> list[list[int]]:
    pixels = read_picture(payload, size=2)
    assert (pixels == pixels[..., :1]).all()
    return pixels[..., 0].tolist()


def png_chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def cyan_is_black() -> bytes:
    """An ICC profile of CMYK, version 2: one table of 2^4 points from inks to Lab."""
    corners = [(0 if corner >> 3 else 255, 128, 128) for corner in range(16)]
    ramp = bytes(range(256))
    table = struct.pack(">4s4xBBBx9i", b"mft1", 4, 3, 2, *(65536 * (n % 4 == 0) for n in range(9)))
    table += ramp * 4 + bytes(v for corner in corners for v in corner) + ramp * 3
    table += bytes(-len(table) % 4)
    text = b"text\0\0\0\0none"
    tags = {b"A2B0": table, b"cprt": text, b"wtpt": struct.pack(">4s4x3i", b"XYZ ", 63190, 65536, 54061)}
    offset = 128 + 4 + 12 * len(tags)
    index, body = struct.pack(">I", len(tags)), b""
    for name, content in tags.items():
        index += struct.pack(">4sII", name, offset + len(body), len(content))
        body += content
    head = struct.pack(
        ">I4sI4s4s4s12s4s28x3i48x",
        *(128 + len(index) + len(body), b"lcms", 0x02100000, b"prtr", b"CMYK", b"Lab ", bytes(12), b"acsp"),
        *(63190, 65536, 54061),
    )
    return head + index + body


# What a decoder raises, whatever it is, is a reason.


def test_a_damaged_avif_is_broken_whatever_its_decoder_raises() -> None:
    with pytest.raises(BrokenPictureError, match="RuntimeError"):
        read_picture(damaged_avif(), size=8)
    cleaned = clean_item(CatalogItem(item_id="a", title="Red", image=damaged_avif()), CleaningPolicy())
    assert cleaned.item is not None
    assert cleaned.item.image is None
    assert cleaned.reasons == (CleaningReason.BROKEN_IMAGE,)
    assert "RuntimeError" in cleaned.image_problem


@pytest.mark.parametrize("form", FORMATS)
def test_a_file_damaged_anywhere_is_read_or_has_a_reason(form: str) -> None:
    whole = saved(Image.radial_gradient("L").resize((24, 24)).convert("RGB"), form)
    rng = random.Random(form)
    for _ in range(150):
        damaged = bytearray(whole)
        for _ in range(rng.randint(1, 4)):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        if rng.random() < 0.3:
            del damaged[rng.randrange(len(damaged)) :]
        encodings = ColorHistogramEncoder().encode([bytes(damaged), whole])
        assert encodings.reasons_N[0] == ("broken" if picture_problem(bytes(damaged)) else "")
        assert encodings.reasons_N[1] == ""


@settings(max_examples=200, deadline=None)
@given(
    head=st.sampled_from([b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF89a", b"II*\0", b"RIFF", b""]), rest=st.binary()
)
def test_bytes_that_are_no_picture_have_a_reason(head: bytes, rest: bytes) -> None:
    assert picture_problem(head + rest)


def test_a_format_that_runs_a_program_is_not_opened() -> None:
    assert "no AVIF" in picture_problem(saved(Image.new("RGB", (8, 8)), "EPS"))


def test_cleaning_and_encoder_have_one_bound_of_pixels() -> None:
    most, more = Image.new("1", (10_000, MAX_PIXELS // 10_000)), Image.new("1", (10_000, MAX_PIXELS // 10_000 + 1))
    assert picture_problem(saved(most, "PNG")) == ""
    assert str(MAX_PIXELS) in picture_problem(saved(more, "PNG"))
    assert ColorHistogramEncoder().encode([saved(most, "PNG"), saved(more, "PNG")]).reasons_N == ("", "broken")


def test_text_that_unpacks_to_a_thousand_times_its_size_is_refused() -> None:
    whole = saved(Image.new("RGB", (8, 8)), "PNG")
    end = whole.index(b"IDAT") - 4
    bomb = png_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(64 * 1024 * 1024)))
    assert picture_problem(whole[:end] + bomb + whole[end:]) != ""


def test_a_worker_answers_as_the_reading_does() -> None:
    with PictureWorker(timeout_s=30) as worker:
        for payload in (saved(Image.new("RGB", (8, 8)), "PNG"), damaged_avif(), b"", endless_jpeg(1)):
            assert worker.problem(payload) == picture_problem(payload)


def test_a_picture_that_takes_for_ever_is_given_up_and_the_next_is_read() -> None:
    with PictureWorker(timeout_s=0.5) as worker:
        assert worker.problem(endless_jpeg(20_000)) == "takes more than 0.5 s to decode"
        assert worker.problem(saved(Image.new("RGB", (8, 8)), "PNG")) == ""


def test_a_picture_that_takes_too_much_memory_is_given_up_and_the_next_is_read() -> None:
    with PictureWorker(timeout_s=30, memory_bytes=2**28) as worker:
        assert "MemoryError" in worker.problem(saved(Image.new("RGB", (7_000, 7_000)), "PNG"))
        assert worker.problem(saved(Image.new("RGB", (8, 8)), "PNG")) == ""


def test_a_worker_that_died_between_two_pictures_is_replaced() -> None:
    with PictureWorker(timeout_s=30) as worker:
        whole = saved(Image.new("RGB", (8, 8)), "PNG")
        assert worker.problem(whole) == ""
        first = worker.pid
        os.kill(first, signal.SIGKILL)
        until_s = time.monotonic() + 30
        while worker.pid == first and worker.problem(whole):  # the kill may come while the picture is under way
            assert time.monotonic() < until_s
        assert worker.problem(whole) == ""
        assert worker.pid != first


# Samples are scaled to their range.


def test_sixteen_bits_of_gray_are_scaled_to_their_range() -> None:
    values = [[0, 65535], [32768, 257]]
    for form in ("PNG", "TIFF", "JPEG2000"):
        assert gray(saved(array(values, np.uint16), form)) == [[0, 255], [128, 1]]


def test_twelve_bits_in_sixteen_of_a_tiff_are_scaled_to_twelve() -> None:
    assert gray(saved(array([[0, 4095], [2048, 16]], np.uint16), "TIFF")) == [[0, 255], [128, 1]]
    assert gray(saved(array([[0, 255], [100, 7]], np.uint16), "TIFF")) == [[0, 255], [100, 7]]


def test_a_dark_png_of_sixteen_bits_stays_dark() -> None:
    assert gray(saved(array([[0, 4112], [0, 257]], np.uint16), "PNG")) == [[0, 16], [0, 1]]


def test_a_tiff_whose_zero_is_white_is_turned_over() -> None:
    inverted = saved(array([[0, 65535], [65535, 0]], np.uint16), "TIFF", tiffinfo={262: 0})
    assert gray(inverted) == [[255, 0], [0, 255]]


def test_thirty_two_bits_are_scaled_signed_or_not() -> None:
    assert gray(saved(array([[0, 2**31 - 1], [2**30, 0]], np.int32), "TIFF")) == [[0, 255], [128, 0]]
    assert gray(saved(array([[-100, 255], [-100, 255]], np.int32), "TIFF")) == [[0, 255], [0, 255]]


def test_floats_between_0_and_1_are_taken_as_they_are_and_others_stretched() -> None:
    assert gray(saved(array([[0.25, 0.5], [0.75, 0.25]], np.float32), "TIFF")) == [[64, 128], [191, 64]]
    assert gray(saved(array([[-1.0, 3.0], [1.0, 0.0]], np.float32), "TIFF")) == [[0, 255], [128, 64]]
    assert gray(saved(array([[np.nan, np.inf], [10, 20]], np.float32), "TIFF")) == [[0, 0], [0, 255]]
    assert gray(saved(array([[-3e38, 3e38], [0, 0]], np.float32), "TIFF")) == [[0, 255], [128, 128]]
    assert gray(saved(array([[7, 7], [7, 7]], np.float32), "TIFF")) == [[0, 0], [0, 0]]


# Orientation, layers, frames and colors.


@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "WEBP", "AVIF"])
@pytest.mark.parametrize(
    ("orientation", "place"),
    # Where the upper left corner as stored is seen; EXIF 2.32, tag 274.
    [(1, (0, 0)), (2, (0, -1)), (3, (-1, -1)), (4, (-1, 0)), (5, (0, 0)), (6, (0, -1)), (7, (-1, -1)), (8, (-1, 0))],
)
def test_a_picture_is_turned_as_its_exif_says(form: str, orientation: int, place: tuple[int, int]) -> None:
    stored = Image.new("RGB", (96, 64), WHITE)
    stored.paste(RED, (0, 0, 32, 16))
    exif = Image.Exif()
    exif[0x0112] = orientation
    seen = read_picture(saved(stored, form, exif=exif), size=96).astype(int)
    corners = {corner: seen[corner] for corner in ((0, 0), (0, -1), (-1, 0), (-1, -1))}
    assert {corner for corner, pixel in corners.items() if pixel[1] < 100} == {place}
    # Sides change places from 5 on: the mark is a third of the stored width and a quarter of the stored height.
    is_red = seen[..., 1] < 128
    assert (abs(is_red.any(axis=0).sum() - (24 if orientation > 4 else 32))) <= 3
    assert (abs(is_red.any(axis=1).sum() - (32 if orientation > 4 else 24))) <= 3


def test_metadata_that_is_damaged_does_not_take_the_picture_away() -> None:
    whole = saved(Image.new("RGB", (8, 8), RED), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff broken")
    assert read_picture(whole, size=2)[0, 0, 0] > 240


def test_cmyk_is_adobes_in_a_jpeg_and_plain_in_a_tiff() -> None:
    for form in ("JPEG", "TIFF"):
        assert read_picture(saved(Image.new("CMYK", (16, 16), (0, 0, 0, 0)), form), size=2)[0, 0].tolist() == [255] * 3
        red = read_picture(saved(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), form), size=2)[0, 0].astype(int)
        np.testing.assert_allclose(red, RED, atol=3)


def test_a_profile_that_does_not_fit_or_is_damaged_leaves_plain_cmyk() -> None:
    of_other_colors = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for profile in (of_other_colors, b"no profile", b""):
        payload = saved(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "TIFF", icc_profile=profile)
        np.testing.assert_allclose(read_picture(payload, size=2)[0, 0].astype(int), RED, atol=3)


def test_cmyk_goes_through_its_profile() -> None:
    # A profile in which cyan alone prints: its ink is black, all others leave the paper white.
    for form in ("TIFF", "JPEG"):
        for ink, seen in (((0, 255, 255, 0), 255), ((255, 0, 0, 0), 0), ((0, 0, 0, 255), 255)):
            payload = saved(Image.new("CMYK", (16, 16), ink), form, icc_profile=cyan_is_black())
            np.testing.assert_allclose(read_picture(payload, size=2)[0, 0].astype(int), [seen] * 3, atol=3)


def test_lab_is_seen_in_its_colors() -> None:
    def seen(lightness: int, a: int, b: int) -> list[int]:
        return read_picture(saved(Image.new("LAB", (8, 8), (lightness, a, b)), "TIFF"), size=2)[0, 0].tolist()

    np.testing.assert_allclose(seen(255, 128, 128), WHITE, atol=1)
    np.testing.assert_allclose(seen(136, 208, 195), RED, atol=12)  # red of sRGB is Lab (53, 80, 67)


def test_transparent_pixels_are_white_in_every_mode() -> None:
    clear = [Image.new("RGBA", (8, 8), (0, 0, 0, 0)), Image.new("LA", (8, 8), (0, 0))]
    for image in clear:
        assert (read_picture(saved(image, "PNG"), size=2) == 255).all()
    palette = Image.new("P", (8, 8), 0)
    palette.putpalette([*BLUE, *RED])
    palette.paste(1, (4, 0, 8, 8))
    for form in ("PNG", "GIF"):
        pixels = read_picture(saved(palette, form, transparency=0), size=8)
        assert [pixels[4, 0].tolist(), pixels[4, 7].tolist()] == [list(WHITE), list(RED)]
    half = saved(palette, "PNG", transparency=bytes([128, 255]))
    np.testing.assert_allclose(read_picture(half, size=8)[4, 0].astype(int), (127, 127, 255), atol=1)


@pytest.mark.parametrize(
    ("mode", "color"),
    [("1", 1), ("L", 255), ("P", 0), ("RGB", WHITE), ("YCbCr", (255, 128, 128)), ("RGBX", (255,) * 4)],
)
def test_every_color_mode_is_read_as_rgb(mode: str, color: object) -> None:
    image = Image.new(mode, (8, 8), color)
    if mode == "P":
        image.putpalette(WHITE)
    assert (read_picture(saved(image, "TIFF"), size=2) == 255).all()


@pytest.mark.parametrize("form", ["GIF", "WEBP", "AVIF", "PNG", "TIFF"])
def test_of_several_frames_the_first_is_read(form: str) -> None:
    frames = [Image.new("RGB", (16, 16), color) for color in (RED, BLUE, BLUE)]
    how = {"lossless": True} if form == "WEBP" else {}
    payload = saved(frames[0], form, save_all=True, append_images=frames[1:], **how)
    np.testing.assert_allclose(read_picture(payload, size=2)[0, 0].astype(int), RED, atol=4)


def test_what_comes_after_the_first_frame_may_be_broken() -> None:
    frames = [Image.effect_noise((32, 32), 90).convert("P") for _ in range(3)]
    whole = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert picture_problem(whole[: len(whole) // 2]) == ""


def test_a_long_comment_of_a_png_changes_nothing() -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", "x" * 100_000)
    assert read_picture(saved(Image.new("RGB", (8, 8), RED), "PNG", pnginfo=info), size=2)[0, 0].tolist() == list(RED)
