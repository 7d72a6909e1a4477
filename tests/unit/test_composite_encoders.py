"""Encoders joined by name, and the shares of colors that go beside a network."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from mmrec.config import ContentSettings, parse_settings
from mmrec.content.color_lab import COLOR_DIM, color_shares, lab_of
from mmrec.content.composite import CompositeEncoder, Part, encoder_parts
from mmrec.content.encoder import Encodings
from mmrec.content.modalities.image import ColorHistogramEncoder, ColorLabEncoder
from mmrec.content.modalities.text import HashingTextEncoder
from mmrec.content.registry import LazyEncoder, chosen_encoders, encoder
from mmrec.errors import ConfigurationError, NotFoundError


def parsed(tables: dict[str, Any]) -> ContentSettings:
    return parse_settings(tables, where="mmrec.toml", folder=Path.cwd()).content


def picture(color: tuple[int, int, int], *, around: tuple[int, int, int] = (255, 255, 255)) -> bytes:
    image = Image.new("RGB", (64, 64), around)
    image.paste(Image.new("RGB", (32, 32), color), (16, 16))
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


RED, BLUE, DARK_RED = picture((200, 20, 30)), picture((20, 40, 190)), picture((170, 20, 30))


def test_a_joined_encoder_writes_its_parts_one_after_the_other_each_of_its_weight() -> None:
    joined = encoder("image", "color-lab+0.5*color-histogram")
    found = joined.encode([RED, b"none", BLUE])
    assert found.reasons_N == ("", "broken", "")
    assert not found.values_ND[1].any()
    assert joined.embedding_dim == COLOR_DIM + 128 == found.values_ND.shape[1]
    np.testing.assert_allclose(np.linalg.norm(found.values_ND[[0, 2]], axis=1), 1.0, atol=1e-5)
    lab, plain = ColorLabEncoder().encode([RED, BLUE]).values_ND, ColorHistogramEncoder().encode([RED, BLUE]).values_ND
    cosine = (lab[0] @ lab[1] + 0.25 * plain[0] @ plain[1]) / 1.25
    assert float(found.values_ND[0] @ found.values_ND[2]) == pytest.approx(float(cosine), abs=1e-5)


class Loud:
    """An encoder whose vectors are long, and which cannot read what ends in a dot."""

    name, modality, embedding_dim = "loud", "text", 2

    def encode(self, payloads: Sequence[bytes]) -> Encodings:
        values = np.array([[300.0, 400.0]] * len(payloads), dtype=np.float32)
        return Encodings(values_ND=values, reasons_N=tuple("broken" if p.endswith(b".") else "" for p in payloads))


def test_a_part_of_long_vectors_is_no_louder_and_what_it_cannot_read_is_broken() -> None:
    found = CompositeEncoder("x", [(Loud(), 3.0), (HashingTextEncoder(embedding_dim=8), 4.0)]).encode([b"red", b"red."])
    np.testing.assert_allclose(found.values_ND[0, :2], [0.36, 0.48], atol=1e-6)
    assert np.linalg.norm(found.values_ND[0, 2:]) == pytest.approx(0.8)
    assert found.reasons_N == ("", "broken")
    with pytest.raises(ValueError, match="image"):
        CompositeEncoder("x", [(Loud(), 1.0), (ColorLabEncoder(), 1.0)])


@given(
    st.lists(st.tuples(st.sampled_from(["minilm", "a/b", "color-lab"]), st.floats(0.01, 99.0)), min_size=1, max_size=4)
)
def test_a_name_is_taken_apart_as_it_was_put_together(parts: list[tuple[str, float]]) -> None:
    assert encoder_parts("+".join(f"{weight!r}*{name}" for name, weight in parts)) == tuple(
        Part(name=name, weight=weight) for name, weight in parts
    )


def test_a_folder_is_one_encoder_whatever_its_name(tmp_path) -> None:
    (tmp_path / "a+2*b").mkdir()
    assert encoder_parts(f"{tmp_path}/a+2*b") == (Part(name=f"{tmp_path}/a+2*b"),)


@pytest.mark.parametrize(
    "name", ["color-lab+", "+", "color-lab+crystal", "0*color-lab+color-histogram", "-1*color-lab"]
)
def test_a_part_that_does_not_exist_is_answered_with_those_that_do(name: str) -> None:
    with pytest.raises(NotFoundError, match=r'color-histogram, color-lab, efficientnet-lite0.* several with "\+"'):
        encoder("image", name)
    with pytest.raises(NotFoundError, match="color-lab"):
        assert LazyEncoder("image", name).fingerprint


def test_a_configuration_may_join_encoders() -> None:
    asked = {"content": {"image_encoder": "color-lab+0.5*color-histogram", "text_encoder": "minilm+hashing-tf"}}
    content = parsed(asked)
    assert chosen_encoders(content)["image"] == "color-lab+0.5*color-histogram"
    for wrong in ("color-lab+", "color-lab+smth", "x*color-lab"):
        with pytest.raises(ConfigurationError, match=r"several joined by \+"):
            parsed({"content": {"image_encoder": wrong}})


def test_fingerprints_of_joined_encoders_differ_with_parts_weights_and_order() -> None:
    names = (
        "color-lab",
        "color-histogram",
        "color-lab+color-histogram",
        "color-histogram+color-lab",
        "color-lab+2*color-histogram",
    )
    assert len({LazyEncoder("image", name).fingerprint for name in names}) == len(names)


def test_lab_is_what_the_standard_says() -> None:
    colors = np.array([[1, 1, 1], [0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], dtype=np.float64)
    known = [[100, 0, 0], [0, 0, 0], [53.24, 80.09, 67.20], [87.73, -86.18, 83.18], [32.30, 79.19, -107.86]]
    np.testing.assert_allclose(lab_of(colors), known, atol=0.02)


@settings(max_examples=25, deadline=None)
@given(arrays(np.uint8, (8, 8, 3)))
def test_shares_of_colors_have_unit_norm_and_their_squares_sum_to_the_whole_picture(pixels) -> None:
    shares = color_shares(pixels)
    assert shares.shape == (COLOR_DIM,)
    assert (shares >= 0).all()
    assert float(shares @ shares) == pytest.approx(1.0, abs=1e-5)
    np.testing.assert_allclose(shares, color_shares(pixels[:, ::-1]), atol=1e-6)


def test_shades_are_neighbors_and_the_middle_counts_more_than_the_wall() -> None:
    red, dark, blue = ColorLabEncoder().encode([RED, DARK_RED, BLUE]).values_ND
    assert red @ dark > red @ blue + 0.2
    on_white, on_blue = ColorLabEncoder().encode([RED, picture((200, 20, 30), around=(20, 40, 190))]).values_ND
    assert on_blue @ on_white > on_blue @ ColorLabEncoder().encode([BLUE]).values_ND[0]


def test_reviews_are_read_by_the_encoder_of_titles_unless_another_is_named() -> None:
    cheap = ContentSettings(text_encoder="hashing-tf")
    assert chosen_encoders(cheap)["reviews"] == "hashing-tf"
    assert chosen_encoders(ContentSettings(encoders={"reviews": "minilm"}))["reviews"] == "minilm"
