"""Words, typing errors and BM25: exact words hit, one edit is forgiven, and a changed index equals a new one."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmrec.search.lexical import ItemText, LexicalIndex
from mmrec.search.vocabulary import Vocabulary
from mmrec.search.words import singular, words

SHOES = (
    ItemText(title="Nike Air Max 270", attributes={"articleType": "Sports Shoes", "baseColour": "Black"}),
    ItemText(title="Nike Air Max 90", attributes={"articleType": "Sports Shoes", "baseColour": "White"}),
    ItemText(title="Adidas Runner 270", attributes={"articleType": "Sports Shoes", "baseColour": "Navy Blue"}),
    ItemText(title="Puma T-shirt", description="With stripes", attributes={"articleType": "Tshirts"}),
    ItemText(title="Red summer dress", attributes={"articleType": "Dresses", "baseColour": "Red"}),
)


def index_of(texts) -> LexicalIndex:
    index = LexicalIndex()
    for row, text in enumerate(texts):
        index.put(row, text)
    return index


def found(index: LexicalIndex, query: str, num_rows: int = len(SHOES)) -> list[int]:
    """Rows that have any word of a query, best first."""
    scores = index.scores(index.looked_up(query), num_rows=num_rows)
    order = np.argsort(-scores, kind="stable")
    return order[scores[order] > 0].tolist()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Women's DRESSES", ("women", "dress")),
        ("T-shirt", ("t", "shirt", "tshirt")),
        ("Café élan", ("cafe", "elan")),
        ("air270", ("air270", "air", "270")),
        ("Nike 270,", ("nike", "270")),
        ("ＮＩＫＥ", ("nike",)),
        ("東京の靴", ("東京", "京の", "の靴")),
        ("ladies' jeans and glasses", ("lady", "jean", "and", "glass")),
        ("!!!", ()),
    ],
)
def test_texts_become_words_that_can_be_compared(text, expected):
    assert words(text) == expected


@given(st.text(max_size=40))
@settings(max_examples=200)
def test_words_of_words_are_found_again(text):
    for word in words(text):
        assert singular(word) in words(word) or not word.isascii()


def test_all_words_of_a_query_come_before_some():
    index = index_of(SHOES)
    assert found(index, "nike 270")[0] == 0
    assert set(found(index, "nike 270")) == {0, 1, 2}
    assert found(index, "tshirt") == found(index, "t-shirt") == [3]


def test_the_description_is_searched_and_weighs_less_than_the_title():
    index = index_of([ItemText(title="Plain shirt", description="goes with stripes"), ItemText(title="Stripes shirt")])
    assert found(index, "stripes", 2) == [1, 0]


@pytest.mark.parametrize(
    ("query", "row"), [("addidas", 2), ("adiads", 2), ("sumer dres", 4), ("pumma", 3), ("runnner", 2), ("niek 90", 1)]
)
def test_a_typing_error_is_forgiven(query, row):
    assert found(index_of(SHOES), query)[0] == row


def test_an_exact_word_comes_before_one_that_is_nearly_it():
    index = index_of([ItemText(title="lovely coat"), ItemText(title="lonely coat")])
    assert found(index, "lovely", 2) == [0]
    assert index.looked_up("lovley")[0].forms[0][1] < 1.0


def test_numbers_are_right_or_wrong():
    index = index_of(SHOES)
    assert found(index, "271") == []
    assert found(index, "27") == [0, 2], "a number still being written"


def test_the_last_word_may_be_unfinished_and_only_the_last():
    index = index_of(SHOES)
    assert found(index, "red dre")[0] == 4
    assert index.looked_up("dre red")[0].forms == ()


def test_a_rare_error_of_the_catalogue_does_not_hide_the_word_meant():
    texts = [ItemText(title="women shoe")] * 200 + [ItemText(title="wmen shoe")]
    index = index_of(texts)
    assert len(found(index, "wmen", len(texts))) == 201
    assert found(index, "wmen", len(texts))[0] == 200


def test_a_misspelled_text_is_put_right_for_encoders_and_others_stay():
    index = index_of(SHOES)
    assert index.corrected("Sumer dresss, Addidas 271!") == "summer dress, adidas 271!"
    for text in ("Red SUMMER dresses", "a spaceship", "", "270"):
        assert index.corrected(text) == text


def test_an_edit_is_a_letter_more_less_other_or_swapped():
    vocabulary = Vocabulary()
    number = vocabulary.number("sandals")
    in_use = np.ones(64, dtype=np.bool_)
    for word, edits in (("sandals", 0), ("sandal", 1), ("sanddals", 1), ("sendals", 1), ("snadals", 1), ("sanals", 1)):
        assert [(n.word, n.num_edits) for n in vocabulary.near(word, in_use_V=in_use)] == [(number, edits)]
    assert [n.num_edits for n in vocabulary.near("senadls", in_use_V=in_use)] == [2]
    assert vocabulary.near("candles", in_use_V=in_use) == []


def slow_edits(a: str, b: str) -> int:
    """Optimal string alignment, letter by letter."""
    d = {(i, 0): i for i in range(len(a) + 1)} | {(0, j): j for j in range(len(b) + 1)}
    for i in range(1, len(a) + 1):
        for j in range(1, len(b) + 1):
            d[i, j] = min(d[i - 1, j] + 1, d[i, j - 1] + 1, d[i - 1, j - 1] + (a[i - 1] != b[j - 1]))
            if i > 1 and j > 1 and a[i - 1] == b[j - 2] and a[i - 2] == b[j - 1]:
                d[i, j] = min(d[i, j], d[i - 2, j - 2] + 1)
    return d[len(a), len(b)]


def test_near_words_are_those_that_a_plain_loop_finds():
    generator = random.Random(5)
    known = sorted({"".join(generator.choices("abcd", k=generator.randint(3, 9))) for _ in range(400)})
    vocabulary = Vocabulary()
    for word in known:
        vocabulary.number(word)
    in_use = np.ones(512, dtype=np.bool_)
    for _ in range(60):
        word = "".join(generator.choices("abcd", k=generator.randint(3, 9)))
        most = 1 if len(word) <= 6 else 2
        expected = {(known.index(k), e) for k in known if (e := slow_edits(word, k)) <= most}
        assert {(n.word, n.num_edits) for n in vocabulary.near(word, in_use_V=in_use)} == expected


titles = st.lists(st.sampled_from(["red", "blue", "nike", "shoe", "dress", "270", "coat"]), min_size=1, max_size=4)
changes = st.lists(st.tuples(st.integers(0, 9), st.none() | titles), min_size=1, max_size=60)


@given(changes)
@settings(max_examples=60, deadline=None)
def test_an_index_that_was_changed_equals_one_made_anew(steps):
    index, state = LexicalIndex(), {}
    for row, title in steps:
        if title is None:
            index.remove(row)
            state.pop(row, None)
        else:
            text = state[row] = ItemText(title=" ".join(title))
            index.put(row, text)
    fresh = LexicalIndex()
    for row, text in state.items():
        fresh.put(row, text)
    assert len(index) == len(fresh) == len(state)
    for query in ("red shoe", "nike 270", "dres", "coat blue red"):
        # Each index numbers its words by itself; what they find is the same.
        before = index.scores(index.looked_up(query), num_rows=10)
        after = fresh.scores(fresh.looked_up(query), num_rows=10)
        np.testing.assert_allclose(before, after, rtol=1e-6)


def test_what_items_had_before_is_cleared_away():
    index = index_of(SHOES)
    for number in range(2_000):
        index.put(1, ItemText(title=f"Nike Air Max 90 edition {number % 7}"))
    assert index.num_slots < 700
    assert found(index, "max 90")[0] == 1


def test_a_query_of_any_length_in_any_script_is_put_right_or_left():
    index = index_of(SHOES)
    for text in ("東京都港区" * 100, "ก" * 1_000, "a" * 1_000, "шуба" * 100):
        assert index.corrected(text) == text
        assert not index.scores(index.looked_up(text), num_rows=len(SHOES)).any()


def test_words_that_were_found_are_told_as_the_item_has_them():
    index = index_of([ItemText(title="Red dress")])
    assert index.found_words(index.looked_up("rde DRESSES shoe"), 0) == ("red", "dress")
    assert index.found_words(index.looked_up("dre"), 0) == ("dress",)
