"""Parts of a catalogue by an attribute: every item is in one, and means are over the items of a part."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmrec.evaluation.catalogue_parts import Parts, means_by_part, parts_by
from mmrec.evaluation.interactions import ItemFeatures, ItemLabels


def labelled(labels: list[list[str]]) -> ItemFeatures:
    names = sorted({each for own in labels for each in own})
    code_of = {name: code for code, name in enumerate(names)}
    return ItemFeatures(
        num_items=len(labels),
        labels=ItemLabels(
            names=names,
            offsets=np.concatenate([[0], np.cumsum([len(own) for own in labels])]).astype(np.int64),
            codes_A=np.array([code_of[each] for own in labels for each in sorted(own)], dtype=np.int64),
        ),
    )


FILMS = labelled([["genres=Drama", "domain=film"], ["genres=Comedy", "genres=Drama"], [], ["genres=War", "domain=a"]])


def parts(items: ItemFeatures, attribute: str) -> tuple[tuple[str, ...], list[int]]:
    found = parts_by(items, attribute)
    return found.names, found.part_I.tolist()


def test_an_item_is_in_the_part_of_its_first_value_and_without_one_in_the_last() -> None:
    assert parts(FILMS, "genres") == (("Comedy", "Drama", "War", ""), [1, 0, 3, 2])
    assert parts(FILMS, "domain") == (("a", "film", ""), [1, 2, 2, 0])


def test_a_value_that_is_no_items_first_one_makes_no_part() -> None:
    assert parts(labelled([["k=a", "k=b"], ["k=a"]]), "k") == (("a",), [0, 0])


def test_one_value_makes_two_parts_of_items_with_and_without_it() -> None:
    assert parts(FILMS, "genres=Drama") == (("Drama", ""), [0, 0, 1, 1])
    assert parts(labelled([["k=a"], ["k=a"]]), "k=a") == (("a",), [0, 0])


@pytest.mark.parametrize("items", [FILMS, ItemFeatures(num_items=4)], ids=["of others", "none"])
@pytest.mark.parametrize("attribute", ["gen", "genres=Dram", ""])
def test_without_such_an_attribute_there_is_one_part(items: ItemFeatures, attribute: str) -> None:
    assert parts(items, attribute) == (("",), [0, 0, 0, 0])


@given(st.lists(st.sets(st.sampled_from(["k=a", "k=b", "k=c", "other=a", "k"])), max_size=8))
def test_every_item_is_in_one_part_and_every_part_has_an_item(labels: list[set[str]]) -> None:
    found = parts_by(labelled([sorted(own) for own in labels]), "k")
    assert len(found.part_I) == len(labels)
    if labels:
        assert sorted(set(found.part_I.tolist())) == list(range(len(found.names)))
    for own, part in zip(labels, found.part_I.tolist(), strict=True):
        assert found.names[part] == min((each[2:] for each in own if each.startswith("k=")), default="")


def test_means_are_over_counted_items_of_a_part_and_nothing_where_none_counts() -> None:
    of = Parts(names=("a", "b", "c"), part_I=np.array([0, 1, 0, 1]))
    values_IM = np.array([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0], [0.9, 0.1]])
    found = means_by_part(values_IM, of, counted_I=np.array([True, True, True, False]))
    assert found[:2].tolist() == [[0.5, 0.5], [0.5, 0.5]]
    assert np.isnan(found[2]).all()
