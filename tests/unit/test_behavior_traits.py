"""What a behavior brings along besides its weight: how explanations say it, and whether it takes items off lists."""

from pathlib import Path

import pytest

from mmrec.config import load_settings, parse_settings
from mmrec.errors import ConfigurationError
from mmrec.scoring.behaviors import Behavior, behavior_set, media_behaviors, shop_behaviors
from mmrec.serving.live_weights import LiveWeights


def configured(*tables: dict):
    return parse_settings({"behaviors": list(tables)}, where="test", folder=Path("/tmp")).behaviors


def test_a_phrase_holds_the_item_where_its_braces_are():
    cart = Behavior(name="cart", behavior_id=3, weight=5.0, phrase="put {} in the cart")
    assert cart.said_of("Blue {} shoe") == 'put "Blue {} shoe" in the cart'
    assert Behavior(name="rent", behavior_id=9, weight=5.0).said_of("Boat") == 'did "rent" on "Boat"'


@pytest.mark.parametrize("phrase", ["rented", "rented {} and {}", "rented {0}", "rented {title}", "rented {} {"])
def test_a_phrase_without_one_place_for_the_item_is_refused(phrase):
    with pytest.raises(ConfigurationError, match=r"one \{\} for the item"):
        Behavior(name="rent", behavior_id=9, weight=5.0, phrase=phrase)


def test_a_configured_behavior_has_the_usual_traits_of_its_name_unless_it_says_otherwise():
    plain = {"name": "purchase", "behavior_id": 4, "weight": 2.0}
    assert configured(plain).behaviors[0].phrase == "bought {}"
    assert configured(plain).behaviors[0].hides
    told = configured({**plain, "phrase": "ordered {}", "hides": False}).behaviors[0]
    assert (told.phrase, told.hides, told.weight) == ("ordered {}", False, 2.0)
    other = configured({"name": "rent", "behavior_id": 9, "weight": 2.0}).behaviors[0]
    assert (other.phrase, other.hides) == ("", False)


@pytest.mark.parametrize(
    "table",
    [
        {"name": "a", "behavior_id": 1, "weight": 1.0, "hides": "yes"},
        {"name": "a", "behavior_id": 1, "weight": 1.0, "phrase": 3},
        {"name": ["purchase"], "behavior_id": 1, "weight": 1.0},
        "purchase",
    ],
)
def test_traits_of_another_type_are_refused(table):
    with pytest.raises(ConfigurationError):
        configured(table)


def test_hiding_speaks_of_places_on_the_axis_of_behaviors():
    assert shop_behaviors().hiding == (3,)
    assert media_behaviors().hiding == (0,)
    assert behavior_set([Behavior(name="a", behavior_id=1, weight=1.0)]).hiding == ()


def test_traits_do_not_make_another_score():
    told = Behavior(name="a", behavior_id=1, weight=1.0, phrase="liked {}", hides=True)
    assert told == Behavior(name="a", behavior_id=1, weight=1.0)


def test_changed_traits_are_taken_while_a_process_runs(tmp_path):
    file = tmp_path / "mmrec.toml"
    table = '[[behaviors]]\nname = "rent"\nbehavior_id = 9\nweight = 2.0\n'
    file.write_text(table)
    weights = LiveWeights(load_settings(file))
    assert weights.behaviors().hiding == ()
    file.write_text(table + 'hides = true\nphrase = "rented {}"\n')
    assert weights.behaviors().hiding == (0,)
    assert weights.behaviors().behaviors[0].said_of("Boat") == 'rented "Boat"'
