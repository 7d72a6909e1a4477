"""A home remembers whose state it keeps; another configuration goes on, is told what to do, or is refused."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from mmrec.config import Settings, parse_settings
from mmrec.demo.world import storefront_name
from mmrec.errors import ConfigurationError, IncompatibleStateError, InvalidRequestError, MmrecError
from mmrec.home import StackHome
from mmrec.scoring.behaviors import media_behaviors
from mmrec.state.home_world import claim, differences, keep, may_empty, meet, read_world, world_of
from services.stack.embedded import EmbeddedStack
from services.stack.home_met import rates_fit

SHOP = [
    {"name": "browse", "behavior_id": 1, "weight": 1.0},
    {"name": "cart", "behavior_id": 3, "weight": 5.0},
    {"name": "uncart", "behavior_id": 5, "weight": -5.0, "undo_of": "cart"},
]
FILMS = {
    "behaviors": [{"name": b.name, "behavior_id": b.behavior_id, "weight": b.weight} for b in media_behaviors()],
    "statistics": {"half_lives_days": [30.0, 365.0, 1460.0]},
}
SHOP_NAME = storefront_name(seed=7, num_items=1_000)


def settings(**tables: object) -> Settings:
    return parse_settings({"behaviors": SHOP, **tables}, where="the test", folder=Path("/nowhere"))


def changed(name: str, /, **values: object) -> list[dict[str, object]]:
    """The shop's behaviors with one of them changed; without it where no values are given."""
    return [{**b, **values} if b["name"] == name else b for b in SHOP if values or b["name"] != name]


KEPT = world_of(settings(), made_s=0.0)


@pytest.mark.parametrize(
    ("tables", "setting"),
    [
        ({"behaviors": changed("uncart")}, "behaviors"),
        ({"behaviors": changed("browse", name="view")}, "behaviors"),
        ({"behaviors": changed("browse", behavior_id=2)}, "behaviors"),
        ({"behaviors": [*changed("browse"), {"name": "look", "behavior_id": 1, "weight": 1.0}]}, "behaviors"),
        ({"scoring": {"decay_per_day": [0.1]}}, "scoring.decay_per_day"),
        ({"kafka": {"num_partitions": 4}}, "kafka.num_partitions"),
        ({"kafka": {"behavior_events": "clicks"}}, "kafka.behavior_events"),
        ({"kafka": {"catalog_items": "goods"}}, "kafka.catalog_items"),
        ({"stores": {"online_store": "redis"}}, "stores.online_store"),
    ],
)
def test_a_setting_that_the_state_cannot_follow_is_refused(tables: dict[str, object], setting: str) -> None:
    behaviors = sorted(tables.get("behaviors", SHOP), key=lambda b: b["behavior_id"])  # type: ignore[attr-defined]
    (found,) = differences(KEPT, world_of(settings(**{**tables, "behaviors": behaviors}), made_s=1.0))
    assert (found.setting, found.is_refused) == (setting, True)
    assert found.kept != found.asked


@pytest.mark.parametrize(
    ("tables", "setting", "advice"),
    [
        ({"behaviors": [*SHOP, {"name": "buy", "behavior_id": 9, "weight": 9.0}]}, "behaviors", "mmrec train"),
        ({"behaviors": changed("uncart", weight=0.0, undo="cancel")}, "undo of uncart", "mmrec rebuild"),
        ({"statistics": {"half_lives_days": [2.0, 14.0]}}, "statistics.half_lives_days", "mmrec publish"),
        ({"content": {"text_encoder": "hashed"}}, "content.text_encoder", "encoded anew"),
        ({"content": {"image_encoder": "pixels"}}, "content.image_encoder", "encoded anew"),
    ],
)
def test_a_setting_that_the_state_can_follow_goes_on_and_says_what_to_do(
    tables: dict[str, object], setting: str, advice: str
) -> None:
    (found,) = differences(KEPT, world_of(settings(**tables), made_s=1.0))
    assert (found.setting, found.is_refused) == (setting, False)
    assert advice in found.advice


@pytest.mark.parametrize(
    "tables",
    [
        {},
        {"behaviors": changed("browse", weight=2.0)},
        {"serving": {"num_candidates": 7, "hide_behaviors": ["cart"]}},
        {"publish": {"min_recall_at_100": 0.5}},
        {"kafka": {"bootstrap": "127.0.0.1:7", "retention_days": 1.0}},
        {"scoring": {"max_items": 10, "ring_size": 9}},
        {"statistics": {"refresh_s": 9.0}},
    ],
)
def test_weights_serving_gates_and_addresses_are_free(tables: dict[str, object]) -> None:
    assert differences(KEPT, world_of(settings(**tables), made_s=1.0)) == ()


def test_other_decay_rates_go_on_once_a_rebuild_made_the_live_profiles_with_them(tmp_path: Path) -> None:
    asked = world_of(settings(scoring={"decay_per_day": [0.1]}), made_s=1.0)
    home = StackHome(folder=tmp_path)
    keep(home, KEPT, meet(home, KEPT))
    with pytest.raises(ConfigurationError, match=r"scoring.decay_per_day: kept 0.05, asked 0.1"):
        meet(home, asked, rates_fit=lambda: False)
    (change,) = meet(home, asked, rates_fit=lambda: True).changes
    assert not change.is_refused


def test_rates_are_asked_for_only_where_they_differ(tmp_path: Path) -> None:
    home = StackHome(folder=tmp_path)
    keep(home, KEPT, meet(home, KEPT))

    def never() -> bool:
        raise AssertionError("asking opens the online store")

    assert meet(home, KEPT, rates_fit=never).world == KEPT
    assert rates_fit(settings()), "a repository that was never applied keeps no profiles of other rates"


def test_films_met_by_a_shop_are_refused_with_both_values_and_three_ways_out(tmp_path: Path) -> None:
    home = StackHome(folder=tmp_path)
    films = world_of(settings(**FILMS), made_s=1_000_000_000.0, dataset="movielens", made_by="demo")
    keep(home, films, meet(home, films))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*")}
    with pytest.raises(ConfigurationError) as caught:
        meet(home, world_of(settings(), made_s=2.0))
    said = str(caught.value)
    assert said.startswith(f"{tmp_path} keeps the state of movielens, made by `mmrec demo` on 2001-09-09 01:46 UTC")
    assert "behaviors: kept watch (id" in said
    assert "asked browse (id 1), cart (id 3), uncart (id 5)" in said
    for way in ("`mmrec up --dataset movielens`", "`mmrec up --fresh`", "`MMREC_HOME=other mmrec up`"):
        assert way in said
    assert {path: path.read_bytes() for path in tmp_path.rglob("*")} == before


def test_the_way_back_to_a_configuration_of_ones_own_names_its_file(tmp_path: Path) -> None:
    home = StackHome(folder=tmp_path)
    own = replace(KEPT, config="/etc/shop.toml")
    keep(home, own, meet(home, own))
    with pytest.raises(ConfigurationError, match=r"`mmrec up --config /etc/shop\.toml` goes on with it"):
        meet(home, world_of(settings(**FILMS), made_s=1.0, dataset="movielens"))


def test_what_goes_on_is_remembered_with_its_new_settings_and_its_old_origin(tmp_path: Path) -> None:
    home = StackHome(folder=tmp_path)
    keep(home, replace(KEPT, dataset=SHOP_NAME, made_by="demo"), meet(home, KEPT))
    asked = world_of(settings(statistics={"half_lives_days": [2.0]}), made_s=5.0)
    keep(home, asked, meet(home, asked))
    kept = read_world(home)
    assert kept is not None
    assert (kept.dataset, kept.made_by, kept.made_s) == (SHOP_NAME, "demo", 0.0)
    assert kept.settings["statistics.half_lives_days"] == [2.0]
    assert meet(home, asked).changes == ()


def test_a_data_set_is_not_brought_into_a_home_of_another_unasked(tmp_path: Path) -> None:
    home = StackHome(folder=tmp_path)
    keep(home, KEPT, meet(home, KEPT))
    for _ in range(2):
        claim(tmp_path, SHOP_NAME)
    other = storefront_name(seed=8, num_items=1_000)
    for dataset in ("movielens", other):
        with pytest.raises(InvalidRequestError, match=r"keeps the state of storefront \(seed 7, 1000 items\).*`--mix`"):
            claim(tmp_path, dataset)
    claim(tmp_path, other, mix=True)
    for dataset in (SHOP_NAME, other):
        claim(tmp_path, dataset)
    kept = read_world(home)
    assert kept is not None
    assert kept.dataset == f"{SHOP_NAME} and {other}"


def test_a_folder_without_a_record_is_claimed_by_nobody(tmp_path: Path) -> None:
    claim(tmp_path, "movielens")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format": 2}', '{"format": 1}', '{"format": 1, "x": 1, "behaviors": []}']
)
def test_a_record_that_cannot_be_read_is_no_world_to_guess(tmp_path: Path, text: str) -> None:
    home = StackHome(folder=tmp_path)
    home.world.write_text(text)
    with pytest.raises(IncompatibleStateError, match=r"world\.json"):
        meet(home, KEPT)


def test_a_home_of_the_version_before_is_adopted_where_nothing_contradicts(tmp_path: Path) -> None:
    home = StackHome(folder=tmp_path)
    home.config.write_text("")
    plain = world_of(Settings(), made_s=1.0)
    met = meet(home, plain)
    assert met.world is not None
    assert met.changes == ()
    keep(home, plain, met)
    assert read_world(home) is not None
    home.world.unlink()
    home.config.write_text("[kafka]\nnum_partitions = 7\n")
    with pytest.raises(ConfigurationError, match=r"kafka\.num_partitions: kept 7, asked 2"):
        meet(home, plain)
    home.config.write_text("this is no TOML")
    assert meet(home, plain).world is None


def test_a_demo_empties_what_a_demo_left_and_nothing_else(tmp_path: Path) -> None:
    home = StackHome(folder=tmp_path)
    assert may_empty(home, command="mmrec demo") == ""
    keep(home, replace(KEPT, made_by="demo", dataset="movielens"), meet(home, KEPT))
    assert may_empty(home, command="mmrec demo").endswith("it is emptied")
    keep(home, KEPT, replace(meet(home, KEPT), world=None))
    with pytest.raises(ConfigurationError, match="`mmrec demo --fresh` empties it"):
        may_empty(home, command="mmrec demo")


def test_the_stack_refuses_before_it_touches_anything(tmp_path: Path) -> None:
    home = StackHome(folder=tmp_path)
    films = world_of(settings(**FILMS), made_s=0.0, dataset="movielens", made_by="demo")
    keep(home, films, meet(home, films))
    home.record.write_text(json.dumps({"stack_id": "none", "temporary_folders": []}))
    home.lock.write_text("")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*")}
    with pytest.raises(MmrecError, match=r"`mmrec up --dataset movielens` goes on with it"):
        EmbeddedStack(home).start()
    assert {path: path.read_bytes() for path in tmp_path.rglob("*")} == before
