"""Queries of known answers: worth is the share of wanted values, squared; every query has a perfect answer."""

import numpy as np

from mmrec.evaluation.search_queries import attribute_queries, attribute_query, match_gains, misspelled

ORDER = ("color", "gender", "kind")
ITEMS = [
    {"color": "Navy Blue", "gender": "Men", "kind": "Shirts"},
    {"color": "Navy Blue", "gender": "Women", "kind": "Shirts"},
    {"color": "Red", "kind": "Dresses"},
    {"kind": "Dresses"},
    {"color": "Red"},
]


def test_attributes_are_said_in_their_order():
    query = attribute_query({"kind": "Shirts", "color": "Navy Blue"}, order=ORDER)
    assert query.text == "navy blue shirts"


def test_an_item_is_worth_the_square_of_the_share_it_matches():
    query = attribute_query(ITEMS[0], order=ORDER)
    assert match_gains(query, ITEMS).tolist() == [1.0, (2 / 3) ** 2, 0.0, 0.0, 0.0]


def test_every_query_is_different_asks_for_two_values_or_more_and_has_an_answer():
    queries = attribute_queries(
        ITEMS * 5, order=ORDER, always="kind", num_queries=50, generator=np.random.default_rng(0)
    )
    assert len({query.text for query in queries}) == len(queries) > 2
    for query in queries:
        assert "kind" in query.wanted
        assert len(query.wanted) >= 2
        assert match_gains(query, ITEMS).max() == 1.0


def test_a_misspelled_text_differs_in_its_longest_word_by_one_edit():
    generator = np.random.default_rng(1)
    for _ in range(50):
        wrong = misspelled("red dresses", generator=generator)
        assert wrong.startswith("red d")
        assert abs(len(wrong) - len("red dresses")) <= 1
    assert misspelled("red tie", generator=generator) == "red tie"
