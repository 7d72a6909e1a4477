"""Configuration: complete, checked, and clear about what is wrong."""

import re
from pathlib import Path

import pytest

from mmrec.config import load_settings, parse_settings
from mmrec.errors import ConfigurationError, NotFoundError
from mmrec.scoring.behaviors import Behavior, BehaviorSet, behavior_set, shop_behaviors

ROOT = Path(__file__).resolve().parents[2]


def test_an_empty_file_gives_the_defaults_with_folders_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "mmrec.toml"
    path.write_text("")
    settings = load_settings(path)
    assert settings.stores.event_log == str(tmp_path / "log")
    assert settings.behaviors.names == ("browse", "favorite", "cart", "purchase")
    assert settings.behaviors.weights_B.tolist() == [1.0, 3.0, 5.0, 10.0]


def test_a_missing_file_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="mmrec up"):
        load_settings(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"kafak": {}}, "unknown tables.*kafak.*known:.*kafka"),
        ({"kafka": {"boostrap": "x"}}, "unknown keys.*boostrap.*known:.*bootstrap"),
        ({"scoring": {"decay_per_day": []}}, "one or more rates"),
        ({"behaviors": [{"name": "Browse", "behavior_id": 1, "weight": 1.0}]}, "lower case"),
        ({"behaviors": [{"name": "browse", "behavior_id": 300, "weight": 1.0}]}, "0 to 255"),
        ({"behaviors": [{"name": "mmrec.x", "behavior_id": 3, "weight": 1.0}]}, "prefix"),
    ],
)
def test_what_was_not_understood_is_an_error_that_names_what_would_be(document: dict, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        parse_settings(document, where="here", folder=Path())


def test_behaviors_are_an_open_set_ordered_by_their_stable_ids() -> None:
    like = Behavior(name="like", behavior_id=9, weight=4.0)
    watch = Behavior(name="watch", behavior_id=2, weight=1.0)
    behaviors = behavior_set([like, watch])
    assert behaviors.names == ("watch", "like")
    assert behaviors.index("like") == 1
    assert "cart" not in behaviors
    with pytest.raises(NotFoundError, match="known: watch, like"):
        behaviors.index("cart")


def test_two_behaviors_cannot_share_an_id() -> None:
    browse = shop_behaviors().behaviors[0]
    with pytest.raises(ConfigurationError, match="unique"):
        BehaviorSet((browse, Behavior(name="look", behavior_id=browse.behavior_id, weight=1.0)))


def test_the_production_example_is_a_complete_configuration() -> None:
    settings = load_settings(ROOT / "deploy" / "mmrec.production.toml")
    assert settings.stores.online_store == "redis"
    assert settings.kafka.num_partitions == 64


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"kafka": 1}, "[kafka] is 1; give a table"),
        ({"kafka": {"num_partitions": "2"}}, "num_partitions is '2'; give a whole number"),
        ({"kafka": {"num_partitions": True}}, "num_partitions is True; give a whole number"),
        ({"kafka": {"retention_days": float("nan")}}, "retention_days is nan; give a number"),
        ({"stores": {"event_log": {"a": 1}}}, "event_log is {'a': 1}; give a text"),
        ({"stores": {"redis_cluster": 1}}, "redis_cluster is 1; give true or false"),
        ({"serving": {"hide_behaviors": "purchase"}}, "hide_behaviors is 'purchase'; give a list"),
        ({"statistics": {"half_lives_days": [1.0, "7"]}}, "half_lives_days is '7'; give a number"),
        ({"scoring": [1]}, "[scoring] is [1]; give a table"),
        ({"behaviors": {}}, "give a table for each behavior"),
        ({"behaviors": [1]}, "[[behaviors]] is 1; give a table"),
        ({"behaviors": [{"name": 1.5, "behavior_id": 1, "weight": 1.0}]}, "name is 1.5; give a text"),
    ],
)
def test_a_value_of_another_type_than_declared_is_named_with_what_would_be_right(document: dict, message: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        parse_settings(document, where="here", folder=Path())


def test_whole_numbers_stand_for_numbers_and_lists_for_tuples() -> None:
    document = {"kafka": {"retention_days": 7}, "statistics": {"half_lives_days": [1, 7]}}
    settings = parse_settings(document, where="here", folder=Path())
    assert settings.kafka.retention_days == 7
    assert settings.statistics.half_lives_days == (1, 7)


@pytest.mark.parametrize("content", [b"\xff\xfe", b"\xef\xbb\xbf[kafka]", b"a = " + b"[" * 5_000, b"[kafka", b"\x00"])
def test_bytes_that_are_no_toml_are_a_configuration_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "mmrec.toml").write_bytes(content)
    with pytest.raises(ConfigurationError, match="is no TOML"):
        load_settings(tmp_path / "mmrec.toml")
