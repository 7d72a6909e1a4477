"""Configuration: complete, checked, and clear about what is wrong."""

import math
import re
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

import pytest
from msgspec import inspect

from mmrec.config import (
    IMAGE_ENCODERS,
    TEXT_ENCODERS,
    Settings,
    StoreSettings,
    TextCleaning,
    load_settings,
    parse_settings,
)
from mmrec.content.cleaning import CLEANINGS
from mmrec.content.registry import encoder_names
from mmrec.errors import ConfigurationError, NotFoundError
from mmrec.scoring.behaviors import Behavior, BehaviorSet, behavior_set, shop_behaviors
from mmrec.wire.declared import ENDLESS, SECRET, declared, describe, says

ROOT = Path(__file__).resolve().parents[2]
NO_VALUE = {"of": {"no": "field"}}
"""A table of tables: no field of the configuration takes one."""


def parsed(document: dict[str, Any]) -> Settings:
    return parse_settings(document, where="here", folder=Path("/home"))


def refusal(document: dict[str, Any]) -> str:
    with pytest.raises(ConfigurationError) as caught:
        parsed(document)
    return str(caught.value)


def tables() -> dict[str, type]:
    """Every table of a configuration that is one dataclass; recipes declare those of [training]."""
    found = {
        f.name: type(getattr(Settings(), f.name)) for f in fields(Settings) if f.name not in ("training", "config_file")
    }
    return {**found, "behaviors": Behavior}


def every_field() -> list[tuple[str, str]]:
    known = [(table, f.name) for table, cls in tables().items() for f in fields(cls)]
    return [place for place in known if place != ("scoring", "behaviors")]


def document_with(table: str, name: str, value: Any) -> dict[str, Any]:
    if table == "behaviors":
        return {"behaviors": [{"name": "browse", "behavior_id": 1, "weight": 1.0, name: value}]}
    return {table: {name: value}}


def beyond(info: inspect.Type) -> list[Any]:
    """Values of the right type that a declaration refuses: beside each bound, of no choice, of another form."""
    inner = info.type if isinstance(info, inspect.Metadata) else info
    match inner:
        case inspect.IntType(ge=low, le=high):
            return [*([] if low is None else [low - 1]), *([] if high is None else [high + 1])]
        case inspect.FloatType(gt=above, ge=low, lt=below, le=high):
            outside = [low if low is None else low - 0.5, high if high is None else high + 0.5, above, below]
            return [
                *(float(bound) for bound in outside if bound is not None),
                float("nan"),
                float("inf"),
                float("-inf"),
            ]
        case inspect.LiteralType() | inspect.EnumType():
            return ["redsi", ""]
        case inspect.StrType(pattern=pattern, min_length=least):
            return [""] if least else ["no such form, \n", "no form\n"] if pattern else []
        case inspect.VarTupleType(item_type=item, min_length=least):
            return [*([[]] if least else []), *([value] for value in beyond(item))]
        case inspect.DictType(value_type=item):
            return [{"of": value} for value in beyond(item)]
    return []


@pytest.mark.parametrize(("table", "name"), every_field())
def test_a_value_of_another_type_is_refused_by_name_with_what_would_be_right(table: str, name: str) -> None:
    kind = declared(tables()[table], name)
    wrong = [NO_VALUE] if not isinstance(inspect.type_info(kind), inspect.DictType) else [[NO_VALUE], 1]
    for value in [*wrong, [NO_VALUE], [[1]]]:
        said = refusal(document_with(table, name, value))
        assert re.match(rf"here: {table}(\[0\])?\.{name}(\[0\]|\.of)? is ", said), said
        assert "; give " in said
    assert describe(kind) in refusal(document_with(table, name, wrong[0]))


@pytest.mark.parametrize(("table", "name"), every_field())
def test_a_value_beyond_its_range_or_choices_is_refused_by_name_with_what_would_be_right(table: str, name: str) -> None:
    kind = declared(tables()[table], name)
    for value in beyond(inspect.type_info(kind)):
        if value == math.inf and says(kind, ENDLESS):
            continue
        said = refusal(document_with(table, name, value))
        assert re.match(rf"here: {table}(\[0\])?\.{name}(\[0\]|\.of)? is ", said), said
        shown = value["of"] if isinstance(value, dict) else value[0] if isinstance(value, list) and value else value
        assert ascii(shown)[:60] in said or says(kind, SECRET)
        assert "; give " in said


@pytest.mark.parametrize(("table", "name"), every_field())
def test_every_field_is_held_to_a_range_a_choice_or_a_form_unless_any_value_makes_sense(table: str, name: str) -> None:
    free = {
        *(
            "redis_cluster",
            "decode_entities",
            "hides",
            "trust_inferred",
            "encodes_queries",
            "can_change",
        ),  # true or false
        *("tls", "redis_tls"),  # likewise
        *(
            "missing_values",
            "import_missing_values",
            "junk_attributes",
            "unknown_attributes",
            "undo_of",
            "hides_alike",
            "substitutes_share",
            "phrase",
            "attribute_model",
            "alignment",
            "username",
            "redis_username",
            "overlay_username",
        ),  # any text
    }
    assert (name in free) == (beyond(inspect.type_info(declared(tables()[table], name))) == [])


def test_every_default_is_a_value_that_a_file_may_hold() -> None:
    for table, name in every_field():
        if table == "behaviors":
            continue
        default = getattr(getattr(Settings(), table), name)
        written = list(default) if isinstance(default, tuple) else default
        assert getattr(getattr(parsed({table: {name: written}}), table), name) in (default, f"/home/{default}")


def test_a_choice_that_was_mistyped_becomes_no_other_one() -> None:
    assert refusal({"stores": {"online_store": "redsi"}}) == (
        'here: stores.online_store is \'redsi\'; give "redis" or "sqlite"'
    )
    with pytest.raises(ConfigurationError, match=r"stores\.online_store is 'redsi'"):
        StoreSettings(online_store="redsi")


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
    ("document", "said"),
    [
        ({"kafak": {}}, "kafak is not a known name; did you mean 'kafka'? known: admin, behaviors, catalog,"),
        (
            {"kafka": {"boostrap": "x"}},
            "kafka.boostrap is not a known name; did you mean 'bootstrap'? known: acts_retention_days, ",
        ),
        (
            {"kafka": {"zzz": 1}},
            "kafka.zzz is not a known name; known: acts_retention_days, administrative_acts, behavior_events,",
        ),
        ({"scoring": {"behaviors": []}}, "scoring.behaviors is not a known name"),
        ({"kafka": 1}, "kafka is 1; give a table"),
        ({"scoring": [1]}, "scoring is [1]; give a table"),
        ({"behaviors": {}}, "behaviors is {}; give a table [[behaviors]] for each"),
        ({"behaviors": [1]}, "behaviors[0] is 1; give a table"),
        ({"behaviors": []}, "behaviors need unique names and unique, ascending ids; there are none"),
        ({"behaviors": [{"name": "a", "behavior_id": 1}]}, "behaviors[0].weight is not there; give a number"),
        (
            {"behaviors": [{"name": "Browse", "behavior_id": 1, "weight": 1.0}]},
            "behaviors[0].name is 'Browse'; use lower",
        ),
        ({"behaviors": [{"name": "mmrec.x", "behavior_id": 3, "weight": 1.0}]}, "no 'mmrec.' as a prefix"),
        ({"scoring": {"bot_windows": 3}}, "scoring.bot_windows is 3 without a cap; set scoring.cap_events, too"),
        ({"statistics": {"half_lives_days": [1.0, "7"]}}, "half_lives_days[1] is '7'; give a number above 0"),
        ({"catalog": {"missing_values": {"color": ["-", 1]}}}, "missing_values.color[1] is 1; give a text"),
        ({"stores": {"online_store": "redis"}}, "stores.redis_connection is empty and online_store is redis"),
        ({"kafka": {"rejected": "behavior-events"}}, "kafka.rejected is 'behavior-events', as kafka.behavior_events"),
        (
            {"stores": {"online_store": "redis", "redis_connection": "redis:6379", "redis_cluster": True}},
            "stores.overlay_connection is empty and redis_cluster is set; name a single Redis",
        ),
    ],
)
def test_what_was_not_understood_is_an_error_that_names_what_would_be(document: dict, said: str) -> None:
    assert refusal(document).startswith("here: ")
    assert said in refusal(document)


def test_an_error_names_the_line_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "mmrec.toml"
    lines = [
        *("# num_partitions = 1", "[kafka]", 'behavior_events = "num_partitions"', "num_partitions = 0", ""),
        *("[statistics]", "half_lives_days = [", "  1.0,", "  -7.0,", "]"),
        *("[[behaviors]]", 'name = "a"', "behavior_id = 1", "weight = 1.0"),
        *("[[behaviors]]", 'name = "b"', "behavior_id = 2", 'weight = "1"'),
    ]
    for number, said in (
        (4, "kafka.num_partitions is 0"),
        (7, "half_lives_days[1] is -7.0"),
        (18, "behaviors[1].weight"),
    ):
        path.write_text("\n".join(lines))
        with pytest.raises(ConfigurationError, match=re.escape(f"{path}, line {number}: ") + f".*{re.escape(said)}"):
            load_settings(path)
        lines[number - 1 if number != 7 else 8] = ""  # this one is mended, the next one is found


@pytest.mark.parametrize("name", ["redis_connection", "overlay_connection", "milvus_uri"])
@pytest.mark.parametrize(
    "value", ["cache,password=secret", ":secret@h:6379", 'cache,password=ab"secret', ["h:1,password=secret"]]
)
def test_a_password_is_in_no_message(name: str, value: Any) -> None:
    said = refusal({"stores": {name: value}})
    assert f"stores.{name} is refused, and not shown here because it may hold a password; give " in said
    assert "secret" not in said


def test_what_stands_where_a_table_with_secrets_belongs_is_not_shown_either() -> None:
    assert "secret" not in refusal({"stores": "redis://:secret@h:6379"})
    assert "kafka is 'h:1'; give a table" in refusal({"kafka": "h:1"})


def test_every_setting_that_names_a_connection_is_a_secret() -> None:
    connections = [f.name for f in fields(StoreSettings) if f.name.endswith("_connection")]
    assert connections
    assert [name for name in connections if not says(declared(StoreSettings, name), SECRET)] == []


@pytest.mark.parametrize("name", ["ring_window_s", "idle_horizon_s", "bot_quiet_s"])
def test_a_duration_that_may_last_for_ever_takes_inf_and_nothing_else_unbounded(name: str) -> None:
    assert getattr(parsed({"scoring": {name: math.inf}}).scoring, name) == math.inf
    for value in (-math.inf, math.nan, -1.0):
        assert f"scoring.{name} is {value}; give a number of 0 or more, or inf" in refusal({"scoring": {name: value}})
    assert "give a number above 0" in refusal({"scoring": {"cap_window_s": -math.inf}})
    assert "give a finite number" in refusal({"scoring": {"cap_window_s": math.inf}})


def test_the_encoders_that_may_be_named_are_those_that_there_are() -> None:
    assert encoder_names("text") == TEXT_ENCODERS
    assert encoder_names("image") == IMAGE_ENCODERS
    assert get_args(TextCleaning) == tuple(CLEANINGS)
    for name in (*TEXT_ENCODERS, "owner/model", "first-last:owner/model", "./folder"):
        assert parsed({"content": {"text_encoder": name}}).content.text_encoder == name


@pytest.mark.parametrize(
    ("table", "name", "value"),
    [
        ("kafka", "bootstrap", "a:9092, b.example:9092,[::1]:9092"),
        ("stores", "redis_connection", "a:6379,b:6379,password=x=y:z,ssl=true"),
        ("stores", "milvus_uri", "milvus.db"),
        ("serving", "recommender", "[::]:18500"),
        ("events", "horizon_s", -1e12),
        ("metrics", "collector", ""),
        ("content", "image_hosts", ["*", "*.cdn.example", "img.example"]),
        ("content", "image_schemes", ["s3", "file", "git+ssh"]),
        ("statistics", "half_lives_days", [7]),
        ("kafka", "retention_days", 0),
        ("scoring", "decay_per_day", [0, 0.05]),
    ],
)
def test_values_that_are_right_are_taken(table: str, name: str, value: Any) -> None:
    taken = getattr(getattr(parsed({table: {name: value}}), table), name)
    assert taken == (tuple(value) if isinstance(value, list) else value)


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


def test_whole_numbers_stand_for_numbers_and_lists_for_tuples() -> None:
    settings = parsed({"kafka": {"retention_days": 7}, "statistics": {"half_lives_days": [1, 7]}})
    assert settings.kafka.retention_days == 7
    assert settings.statistics.half_lives_days == (1, 7)


@pytest.mark.parametrize("content", [b"\xff\xfe", b"\xef\xbb\xbf[kafka]", b"a = " + b"[" * 5_000, b"[kafka", b"\x00"])
def test_bytes_that_are_no_toml_are_a_configuration_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "mmrec.toml").write_bytes(content)
    with pytest.raises(ConfigurationError, match="is no TOML"):
        load_settings(tmp_path / "mmrec.toml")


def test_a_configuration_that_still_lists_what_hides_items_means_what_it_meant() -> None:
    settings = parsed({"serving": {"hide_behaviors": ["cart", "unknown"]}})
    assert [behavior.name for behavior in settings.behaviors if behavior.hides] == ["cart"]
    with pytest.raises(ConfigurationError, match=r"serving\.hide_behaviors"):
        parsed({"serving": {"hide_behaviors": "cart"}})
    cart = {"name": "cart", "behavior_id": 2, "weight": 3.0, "hides": False}
    with pytest.raises(ConfigurationError, match="beside hides"):
        parsed({"serving": {"hide_behaviors": ["cart"]}, "behaviors": [cart]})
