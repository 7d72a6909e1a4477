"""Vectors and words together: what is near, what is not wanted, what is the same, and what filters must not lose."""

import numpy as np
import pytest

from mmrec.index.half_vectors import HalfVectors
from mmrec.search.index import SearchIndex
from mmrec.search.lexical import ItemText
from mmrec.search.query import LEXICAL, MeantVector, QueryPart, vectors_of

DIM = 16


def meant(values, meaning="text/plain/1") -> MeantVector:
    return MeantVector(meaning=meaning, values_D=np.asarray(values, dtype=np.float32))


def direction(*places: int) -> np.ndarray:
    vector = np.zeros(DIM)
    vector[list(places)] = 1.0
    return vector


@pytest.fixture
def wardrobe() -> SearchIndex:
    """Direction 0 is red, 1 is blue, 2 is a dress, 3 is a shirt, 4 is stripes."""
    index = SearchIndex()
    for item_id, title, places in (
        ("red dress", "Red dress", (0, 2)),
        ("blue dress", "Blue dress", (1, 2)),
        ("red stripes", "Red shirt with stripes", (0, 3, 4)),
        ("red shirt", "Red shirt", (0, 3)),
        ("blue shirt", "Blue shirt", (1, 3)),
        ("no vector", "Red scarf", None),
    ):
        index.put(item_id, ItemText(title=title), {} if places is None else {"text": meant(direction(*places))})
    return index


def found(index: SearchIndex, *parts: QueryPart, allowed=None) -> list[str]:
    allowed_I = np.ones(index.num_rows, dtype=np.bool_) if allowed is None else allowed
    rows = index.find(parts, allowed_I=allowed_I, num_candidates=50).rows_N
    return [index.item_ids()[row] for row in rows]


def text(words: str, *places: int, weight: float = 1.0) -> QueryPart:
    return QueryPart(words=words, vectors=(meant(direction(*places)),), weight=weight)


def test_words_and_vectors_agree_on_the_item_that_has_both(wardrobe):
    assert found(wardrobe, text("red dress", 0, 2))[0] == "red dress"


def test_an_item_without_a_vector_is_found_by_its_words(wardrobe):
    assert found(wardrobe, text("scarf", 5))[0] == "no vector"


def test_words_alone_list_only_items_that_have_some(wardrobe):
    assert set(found(wardrobe, QueryPart(words="dress"))) == {"red dress", "blue dress"}
    assert found(wardrobe, QueryPart(words="spaceship")) == []


def test_vectors_answer_where_no_word_is_known(wardrobe):
    assert found(wardrobe, text("crimson gown", 0, 2))[0] == "red dress"


def test_what_is_not_wanted_goes_down(wardrobe):
    wanted, unwanted = text("red shirt", 0, 3), text("stripes", 4, weight=-1.0)
    assert set(found(wardrobe, wanted)[:2]) == {"red shirt", "red stripes"}
    order = found(wardrobe, wanted, unwanted)
    assert order[0] == "red shirt"
    assert order.index("red stripes") > order.index("red shirt")
    by_words = [QueryPart(words="red shirt"), QueryPart(words="stripes", weight=-1.0)]
    assert found(wardrobe, *by_words)[0] == "red shirt"


def test_this_but_red_is_between_both(wardrobe):
    assert found(wardrobe, QueryPart(item_id="blue shirt"), text("red", 0, weight=2.0))[0] == "red shirt"


def test_a_larger_weight_counts_more(wardrobe):
    blue_dress = QueryPart(item_id="blue dress", weight=4.0)
    assert found(wardrobe, blue_dress, text("red", 0))[0] == "blue dress"
    assert found(wardrobe, QueryPart(item_id="blue dress", weight=0.5), text("red", 0, weight=4.0))[0] == "red dress"


def test_the_gains_of_all_evidence_are_the_relevance(wardrobe):
    parts = [text("red shirt", 0, 3), text("stripes", 4, weight=-0.5)]
    all_found = wardrobe.find(parts, allowed_I=np.ones(6, dtype=np.bool_), num_candidates=50)
    np.testing.assert_allclose(sum(e.gains_N for e in all_found.evidence), all_found.relevance_N, atol=1e-9)
    assert {e.name for e in all_found.evidence} == {LEXICAL, vectors_of("text")}


def test_vectors_of_another_meaning_are_never_compared(wardrobe):
    part = QueryPart(vectors=(meant(direction(0, 2), "text/plain/2"),))
    assert wardrobe.find([part], allowed_I=np.ones(6, dtype=np.bool_), num_candidates=50).evidence == ()
    wardrobe.put("blue dress", ItemText(title="Blue dress"), {"text": meant(direction(1, 2), "text/plain/2")})
    assert wardrobe.num_vectors() == {"text": {"text/plain/1": 4, "text/plain/2": 1}}


def test_pictures_find_texts_only_where_both_mean_the_same():
    index = SearchIndex()
    index.put("written", ItemText(title="a"), {"text": meant(direction(0), "aligned")})
    index.put("shown", ItemText(title="b"), {"image": meant(direction(0, 1), "aligned")})
    index.put("other", ItemText(title="c"), {"image": meant(direction(7), "aligned")})
    photo = QueryPart(vectors=(meant(direction(0), "aligned"),))
    assert set(found(index, photo)[:2]) == {"written", "shown"}


def test_a_removed_item_is_found_by_nothing_and_comes_back_in_its_row(wardrobe):
    row = wardrobe.item_ids().index("red dress")
    wardrobe.remove("red dress")
    assert found(wardrobe, QueryPart(words="red"))[0] != "red dress"
    photo = wardrobe.find([text("gown", 0, 2)], allowed_I=np.ones(6, dtype=np.bool_), num_candidates=50)
    assert row not in photo.rows_N
    wardrobe.put("red dress", ItemText(title="Red dress"), {"text": meant(direction(0, 2))})
    assert wardrobe.item_ids().index("red dress") == row
    assert found(wardrobe, text("red dress", 0, 2))[0] == "red dress"


def test_the_item_asked_about_and_the_same_picture_are_duplicates():
    index, generator = SearchIndex(), np.random.default_rng(0)
    picture, title = generator.normal(size=DIM), generator.normal(size=DIM)
    near = picture + 0.02 * generator.normal(size=DIM)
    for item_id, image, words in (
        ("it", picture, title),
        ("same picture", picture, generator.normal(size=DIM)),
        ("same title", near, title),
        ("near", near, generator.normal(size=DIM)),
    ):
        index.put(item_id, ItemText(title=item_id), {"image": meant(image, "i"), "text": meant(words, "t")})

    def duplicates(**shares: float) -> set[str]:
        part = QueryPart(item_id="it", shares=shares)
        all_found = index.find([part], allowed_I=np.ones(4, dtype=np.bool_), num_candidates=10)
        return {index.item_ids()[row] for row in all_found.rows_N[all_found.duplicates_N]}

    assert duplicates(image=1.0) == {"it", "same picture"}
    assert duplicates(text=1.0) == {"it", "same title"}
    assert duplicates(image=1.0, text=1.0) == {"it", "same picture"}


def test_shares_weigh_the_modalities_of_an_items_like(wardrobe):
    index = SearchIndex()
    index.put("it", ItemText(), {"image": meant(direction(0), "i"), "text": meant(direction(1), "t")})
    index.put("looks", ItemText(), {"image": meant(direction(0, 5), "i"), "text": meant(direction(6), "t")})
    index.put("reads", ItemText(), {"image": meant(direction(7), "i"), "text": meant(direction(1, 5), "t")})
    assert found(index, QueryPart(item_id="it", shares={"image": 1.0}))[1] == "looks"
    assert found(index, QueryPart(item_id="it", shares={"text": 1.0}))[1] == "reads"


def test_a_selective_filter_loses_nothing_of_an_exact_search():
    """5 % are allowed: more than are looked at one by one."""
    generator, num_items = np.random.default_rng(3), 6_000
    index = SearchIndex(exact_items=100)
    centers = generator.normal(size=(40, DIM))
    vectors = centers[generator.integers(40, size=num_items)] + 0.6 * generator.normal(size=(num_items, DIM))
    for row in range(num_items):
        index.put(f"i{row}", ItemText(title="shirt" if row % 7 else "coat"), {"text": meant(vectors[row])})
    allowed_I = generator.random(num_items) < 0.05
    assert allowed_I.sum() > 200
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    hits = 0
    for query in generator.normal(size=(20, DIM)):
        got = index.find([QueryPart(vectors=(meant(query),))], allowed_I=allowed_I, num_candidates=100)
        assert allowed_I[got.rows_N].all()
        exact = np.argsort(-np.where(allowed_I, units @ query, -np.inf))[:20]
        hits += len(set(got.rows_N[:20].tolist()) & set(exact.tolist()))
    assert hits / 400 >= 0.99


def test_half_vectors_find_what_a_plain_product_finds_through_any_changes():
    generator, rows = np.random.default_rng(1), {}
    vectors = HalfVectors(embedding_dim=DIM)
    for step in range(900):
        row = int(generator.integers(300))
        if step % 3 == 2:
            vectors.remove(row)
            rows.pop(row, None)
        else:
            rows[row] = generator.normal(size=DIM).astype(np.float32)
            vectors.put(row, rows[row])
    assert len(vectors) == len(rows)
    known = np.array(sorted(rows))
    units = np.stack([rows[row] / np.linalg.norm(rows[row]) for row in known])
    query = generator.normal(size=DIM).astype(np.float32)
    query /= np.linalg.norm(query)
    allowed = generator.random(310) < 0.5
    exact = known[np.argsort(-np.where(allowed[known], units @ query, -9.0))][: min(10, int(allowed[known].sum()))]
    assert vectors.search(query, num_results=10, allowed_I=allowed).rows_K.tolist() == exact.tolist()
    np.testing.assert_allclose(vectors.cosines(query[None], known)[0], units @ query, atol=1e-3)
    np.testing.assert_allclose(vectors.mean_D, units.mean(axis=0), atol=1e-3)
    assert vectors.nearest_cosine(query) == pytest.approx(float((units @ query).max()), abs=1e-3)
    assert np.isnan(vectors.cosines(query[None], np.array([305, 10_000]))).all()


def test_the_only_picture_is_found_by_a_photo():
    index = SearchIndex()
    index.put("without", ItemText(title="a"), {})
    index.put("with", ItemText(title="b"), {"image": meant(direction(0, 1), "i")})
    assert found(index, QueryPart(vectors=(meant(direction(0), "i"),)))[0] == "with"


def test_nothing_is_found_among_no_items():
    index = SearchIndex()
    assert found(index, QueryPart(words="red")) == []
    empty = HalfVectors(embedding_dim=DIM).search(np.ones(DIM), num_results=5, allowed_I=np.ones(3, dtype=np.bool_))
    assert len(empty.rows_K) == 0
