"""Encoders fitted to a catalogue: TF-IDF, and attributes with a column per value and per "unknown"."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmrec.catalog.item import CatalogItem
from mmrec.config import ContentSettings
from mmrec.content.attribute_vocabulary import MAX_VALUES, AttributeVocabulary, fit_vocabulary
from mmrec.content.feed import CatalogChanges
from mmrec.content.fit import fit_encoder
from mmrec.content.fitted_file import read_fitted, write_fitted
from mmrec.content.registry import LazyEncoder, chosen_encoders, encoder
from mmrec.content.tfidf import Tfidf, fit_tfidf, hashed_place, term_counts
from mmrec.errors import ConfigurationError, InvalidRequestError, NotFoundError, SettingError

TEXTS = [b"Red dress", b"red shirt", b"Blue dress red dress"]


def attributes(**values: str) -> bytes:
    return json.dumps(values).encode()


def tfidf_of(folder: Path, texts: list[bytes]) -> str:
    write_fitted(folder / "tfidf.json", fit_tfidf(texts))
    return f"tfidf:{folder}/tfidf.json"


def vocabulary_of(folder: Path, payloads: list[bytes]) -> str:
    write_fitted(folder / "vocabulary.json", fit_vocabulary(payloads))
    return f"attribute-vocabulary:{folder}/vocabulary.json"


def test_the_weight_of_a_term_is_its_equation() -> None:
    fitted = fit_tfidf(TEXTS)
    assert fitted.num_texts == 3
    assert fitted.document_frequencies == {"dress": 2, "red": 3, "red dress": 2}
    assert fitted.idf("red") == pytest.approx(1.0)
    assert fitted.idf("dress") == pytest.approx(math.log(4 / 3) + 1)
    assert fitted.idf("shirt") == fitted.idf("never seen") == pytest.approx(math.log(4) + 1)


def test_a_text_is_its_counts_times_the_weights_of_its_terms(tmp_path: Path) -> None:
    found = encoder("text", tfidf_of(tmp_path, TEXTS)).encode([b"dress dress red", b"...", b""])
    assert found.reasons_N == ("", "broken", "broken")
    wanted = np.zeros(1_024)
    fitted = fit_tfidf(TEXTS)
    for term, count in {"dress": 2, "red": 1, "dress dress": 1, "dress red": 1}.items():
        place, sign = hashed_place(term, 1_024)
        wanted[place] += sign * (1 + math.log(count)) * fitted.idf(term)
    np.testing.assert_allclose(found.values_ND[0], wanted / np.linalg.norm(wanted), atol=1e-6)


def test_rare_words_tell_more_than_frequent_ones(tmp_path: Path) -> None:
    texts = [f"the shirt of brand{n}".encode() for n in range(50)] + [b"the zebra shirt", b"a zebra dress"]
    query, same_rare, same_frequent = (
        encoder("text", tfidf_of(tmp_path, texts)).encode([b"the zebra", b"zebra hat", b"the hat"]).values_ND
    )
    assert query @ same_rare > query @ same_frequent + 0.2


def test_a_text_is_the_same_vector_after_a_restart_and_another_fit_has_another_fingerprint(
    tmp_path: Path,
) -> None:
    name = tfidf_of(tmp_path, TEXTS)
    before, vectors = LazyEncoder("text", name).fingerprint, encoder("text", name).encode(TEXTS).values_ND
    np.testing.assert_array_equal(encoder("text", name).encode(TEXTS).values_ND, vectors)
    assert LazyEncoder("text", tfidf_of(tmp_path, TEXTS)).fingerprint == before, "fitted to the same"
    assert LazyEncoder("text", tfidf_of(tmp_path, [*TEXTS, b"green dress"])).fingerprint != before
    assert not np.allclose(encoder("text", name).encode(TEXTS).values_ND, vectors)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.text(max_size=30), max_size=6))
def test_any_texts_can_be_fitted_and_no_weight_is_below_one(texts: list[str]) -> None:
    payloads = [text.encode() for text in texts]
    fitted = fit_tfidf(payloads)
    assert all(fitted.idf(term) >= 1.0 for payload in payloads for term in term_counts(payload))


def test_each_value_has_its_column_and_each_attribute_one_for_not_knowing(tmp_path: Path) -> None:
    catalogue = (
        [attributes(color="Red", size="M")] * 2 + [attributes(color="blue|red")] * 2 + [attributes(color="teal")]
    )
    assert fit_vocabulary(catalogue) == AttributeVocabulary(values={"color": ("blue", "red"), "size": ("m",)})
    found = encoder("attributes", vocabulary_of(tmp_path, catalogue))
    assert found.embedding_dim == 5
    half = 0.5**0.5
    payloads = [
        attributes(color="RED", size="m"),
        attributes(color="blue|red"),  # no size
        attributes(color="teal", size="XL"),  # a rare value, and one never seen
        attributes(brand="Acme"),  # an attribute that the catalogue did not have
        attributes(color="red|teal", size="M"),  # what is known counts
        b"no object",
    ]
    encodings = found.encode(payloads)
    assert encodings.reasons_N == ("", "", "", "", "", "broken")
    # Columns: blue, red, unknown color, m, unknown size.
    wanted = np.array(
        [[0, 1, 0, 1, 0], [0.5, 0.5, 0, 0, 1], [0, 0, 1, 0, 1], [0, 0, 1, 0, 1], [0, 1, 0, 1, 0], [0, 0, 0, 0, 0]]
    )
    np.testing.assert_allclose(encodings.values_ND, wanted * half, atol=1e-6)


def test_a_value_that_comes_later_is_unknown_until_the_vocabulary_is_fitted_again(tmp_path: Path) -> None:
    old = [attributes(color="red")] * 2 + [attributes(color="blue")] * 2
    name = vocabulary_of(tmp_path, old)
    before = LazyEncoder("attributes", name).fingerprint
    pink, unknown = encoder("attributes", name).encode([attributes(color="pink"), attributes(color="")]).values_ND
    np.testing.assert_array_equal(pink, unknown)
    vocabulary_of(tmp_path, [*old, *[attributes(color="pink")] * 2])
    assert LazyEncoder("attributes", name).fingerprint != before
    assert encoder("attributes", name).embedding_dim == 4
    pink, unknown = encoder("attributes", name).encode([attributes(color="pink"), attributes(color="")]).values_ND
    assert pink @ unknown == 0


def test_a_vocabulary_is_bounded_and_keeps_what_is_frequent() -> None:
    payloads = [attributes(brand=f"b{n:03}") for n in range(300) for _ in range(2 + (n >= 290))]
    kept = fit_vocabulary(payloads).values["brand"]
    assert len(kept) == MAX_VALUES
    assert {f"b{n}" for n in range(290, 300)} <= set(kept)


def test_a_fit_reads_the_newest_state_of_every_item_that_is_still_there(tmp_path: Path) -> None:
    def changes(*titles: tuple[str, str], removed: tuple[str, ...] = ()) -> CatalogChanges:
        items = {item_id: CatalogItem(item_id=item_id, title=title) for item_id, title in titles}
        return CatalogChanges(items=items, removed=removed)

    portions = [
        changes(("a", "old title"), ("b", "gone")),
        changes(("a", "The red dress"), ("c", "The blue dress")),
        changes(removed=("b",)),
    ]
    assert fit_encoder("tfidf", portions, path=tmp_path / "new" / "tfidf.json", cleaning="classic") == 2
    fitted = read_fitted(tmp_path / "new" / "tfidf.json", Tfidf)
    assert fitted == Tfidf(num_texts=2, document_frequencies={"dress": 2})
    with pytest.raises(ConfigurationError, match="none of 2 items has attributes"):
        fit_encoder("attribute-vocabulary", portions, path=tmp_path / "none.json")
    with pytest.raises(NotFoundError, match="known: tfidf, attribute-vocabulary"):
        fit_encoder("crystal-ball", portions, path=tmp_path / "none.json")
    assert not (tmp_path / "none.json").exists()


@pytest.mark.parametrize(("modality", "kind"), [("text", "tfidf"), ("attributes", "attribute-vocabulary")])
def test_a_file_that_is_not_there_or_holds_something_else_says_how_one_is_made(
    modality: str, kind: str, tmp_path: Path
) -> None:
    with pytest.raises(NotFoundError, match="no_file"):
        encoder(modality, f"{kind}:{tmp_path}/no_file.json")
    for content in (b"", b"{}", b'{"num_texts": "x"}', b"\xff\xfe", b"[1]"):
        (tmp_path / "other.json").write_bytes(content)
        with pytest.raises(InvalidRequestError, match=r"is no .*make it with python -m jobs.fit_encoder"):
            encoder(modality, f"{kind}:{tmp_path}/other.json")


def test_a_configuration_names_fitted_encoders_by_their_file() -> None:
    names = {"attributes": "attribute-vocabulary:content/vocabulary.json"}
    chosen = chosen_encoders(ContentSettings(text_encoder="tfidf:content/tfidf.json", encoders=names))
    assert (chosen["text"], chosen["attributes"]) == ("tfidf:content/tfidf.json", names["attributes"])
    assert chosen["reviews"] == chosen["text"]
    with pytest.raises(SettingError, match="give one of attribute-hash, attribute-vocabulary:FILE"):
        chosen_encoders(ContentSettings(encoders={"attributes": "attribute-vocabulary"}))
    with pytest.raises(NotFoundError, match="known: attribute-hash, attribute-vocabulary:FILE"):
        encoder("attributes", "owner/model")
