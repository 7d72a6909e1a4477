"""One grammar says which behavior a row is, and what it cannot parse it explains."""

import pytest

from mmrec.errors import InvalidRequestError
from mmrec.events.behavior_rules import condition_of, parse_behaviors


def test_names_and_conditions_stand_in_one_table() -> None:
    rules = parse_behaviors(["view=browse", "rating>=4=like", "a=b=cart", " stars == five = favorite"])
    assert rules.names == {"view": "browse", "a=b": "cart"}
    assert [(c.column, c.sign, c.value) for c in rules.conditions] == [("rating", ">=", "4"), ("stars", "==", "five")]
    assert rules.table == {"view": "browse", "a=b": "cart", "rating>=4": "like", "stars == five": "favorite"}


@pytest.mark.parametrize(
    ("condition", "met", "not_met"),
    [
        ("r>=4", [4, 4.5, "4", "4,5", "5.0"], [3.9, "3", "", None, "good", True]),
        ("r<2", [1, "0.5", -3], [2, "2", None, ""]),
        ("r>0", [0.5, "1"], [0, "0", -1]),
        ("r==4", [4, "4.0", "4"], [5, "four", None, ""]),
        ("r!=4", [5, "four", 0], [4, "4.0", "", None]),
        ("r==five", ["five", " five "], ["six", 5, None]),
    ],
)
def test_a_condition_is_met_by_numbers_however_they_are_written(
    condition: str, met: list[object], not_met: list[object]
) -> None:
    found = condition_of(condition)
    assert found is not None
    assert [cell for cell in met if not found.is_met(cell)] == []
    assert [cell for cell in not_met if found.is_met(cell)] == []


def test_a_name_with_an_operator_stands_in_quotes() -> None:
    rules = parse_behaviors(['"a>b"=browse', 'kind=="x>y"=cart'])
    assert rules.names == {"a>b": "browse"}
    (condition,) = rules.conditions
    assert condition.is_met("x>y")


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("browse", "no NAME=BEHAVIOR and no CONDITION=BEHAVIOR"),
        ("=browse", "no NAME=BEHAVIOR"),
        ("view=", "no NAME=BEHAVIOR"),
        ("rating>=4", "no NAME=BEHAVIOR"),
        ("rating>=like", "no NAME=BEHAVIOR"),
        ("rating>=high=like", "'high' is no number"),
        (">=4=like", "no COLUMN OP VALUE"),
        ("rating=>4=like", "no COLUMN OP VALUE"),
        ("rating>>4=like", "no COLUMN OP VALUE"),
        ("1<rating<4=like", "no COLUMN OP VALUE"),
    ],
)
def test_what_cannot_be_parsed_is_refused_with_an_example_that_can(option: str, said: str) -> None:
    with pytest.raises(InvalidRequestError, match=said) as caught:
        parse_behaviors([option])
    assert "view=browse" in str(caught.value) or "rating>=4=like" in str(caught.value) or "3.5" in str(caught.value)


def test_two_behaviors_for_one_name_are_refused_and_the_same_twice_is_not() -> None:
    assert parse_behaviors(["view=browse", "view=browse"]).names == {"view": "browse"}
    for rules in (["view=browse", "view=cart"], ["r>3=browse", "r>3=cart"]):
        with pytest.raises(InvalidRequestError, match="says both"):
            parse_behaviors(rules)


def test_an_integer_beyond_every_float_is_compared_as_one_without_bound() -> None:
    rules = parse_behaviors(["rating>=4=like", "rating<0=skip"])
    assert [condition.is_met(10**400) for condition in rules.conditions] == [True, False]
    assert [condition.is_met(-(10**400)) for condition in rules.conditions] == [False, True]
