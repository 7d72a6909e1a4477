"""What the console shows, without a browser: list changes, strangers' text, amounts, and who may ask and change."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmrec.config import Settings
from mmrec.connections.console_settings import ConsoleSettings
from mmrec.console.amounts import age, duration, instant, number, price
from mmrec.console.entrance import Entrance, check_entrance, entrance_of
from mmrec.console.list_changes import list_changes
from mmrec.console.shown_text import shown_text
from mmrec.console.storefront import card_of, visitor_of
from mmrec.console.why import feature_rows, stages_of
from mmrec.errors import ConfigurationError, InvalidRequestError, SettingError
from mmrec.v1 import recommender_pb2

LISTS = st.lists(st.sampled_from("abcdefgh"), unique=True)
OWN = {"host": "localhost:18516", "origin": "http://localhost:18516", "sec-fetch-site": "same-origin"}


@given(LISTS, LISTS)
def test_every_item_of_two_lists_entered_left_moved_or_stayed(before: list[str], after: list[str]) -> None:
    found = list_changes(before, after)
    assert [m.item_id for m in found.entered] == [i for i in after if i not in before]
    assert [m.item_id for m in found.left] == [i for i in before if i not in after]
    for move in (*found.up, *found.down):
        assert before[move.former_rank - 1] == after[move.rank - 1] == move.item_id
    assert all(m.places > 0 for m in found.up) and all(m.places < 0 for m in found.down)
    stayed = [i for n, i in enumerate(after) if before[n : n + 1] == [i]]
    assert [i for i in after if found.of(i) is None] == stayed
    assert bool(found) == (before != after)


@given(st.text(max_size=400))
def test_shown_text_is_one_line_without_marks_that_turn_or_hide_it(text: str) -> None:
    shown = shown_text(text, max_characters=80)
    assert len(shown) <= 80 and "\n" not in shown
    assert not set(shown) & set("\u202a\u202b\u202d\u202e\u2066\u2067\u2068\u200b\ufeff\0\x1b")


def test_a_letter_keeps_four_marks_and_a_long_word_is_cut() -> None:
    assert shown_text("e" + "\u0301" * 50) == "e" + "\u0301" * 4
    assert shown_text("x" * 500, max_characters=10) == "x" * 9 + "…"


def test_amounts_are_words() -> None:
    assert [duration(s) for s in (0.0123, 3.42, 300.0, 90_000.0, float("inf"))] == [
        "12 ms",
        "3.4 s",
        "5 min",
        "25 h",
        "-",
    ]
    assert [age(t, now_s=1_000.0) for t in (0.0, 995.0, 1_060.0)] == ["never", "5.0 s ago", "in 60.0 s"]
    assert instant(1e300) == "never" and instant(1.7e9) == "2023-11-14 22:13:20 UTC"
    assert [number(v) for v in (12_034.0, 0.123456, float("nan"))] == ["12,034", "0.1235", "nan"]
    assert price(12.5, "EUR") == "12.50 EUR" and price(0.0, "EUR") == ""


def test_a_visitor_is_a_user_or_an_anonymous_one() -> None:
    assert visitor_of(" ann ").user_id == "ann" and visitor_of("~x1").anonymous_id == "x1"
    assert visitor_of("~x1").key == "~x1"
    for key in ("", "~", "x" * 300):
        with pytest.raises(InvalidRequestError, match="give a user id"):
            visitor_of(key)


def test_a_card_never_carries_what_a_title_hides() -> None:
    item = recommender_pb2.RecommendedItem(item_id="i1", title="<b>\u202eevil", domain="shoes", rank=3, price=5.0)
    card = card_of(item)
    assert "\u202e" not in card.title and card.title.startswith("<b>"), "pages escape markup, text stays as it is"
    assert (card.letter, card.price) == ("B", "5.00")
    assert card_of(recommender_pb2.RecommendedItem(item_id="i2")).title == "i2"


def test_a_dropped_item_passed_the_stages_before_and_reached_none_after() -> None:
    states = [stage.state for stage in stages_of(recommender_pb2.ITEM_OUTCOME_NOT_PROPOSED)]
    assert states == ["passed"] * 3 + ["dropped"] + ["not reached"] * 2
    assert {stage.state for stage in stages_of(recommender_pb2.ITEM_OUTCOME_LISTED)} == {"passed"}


def test_features_are_the_largest_first_and_the_rest_as_one() -> None:
    added = {f"f{n:02d}": float(n - 10) for n in range(20)}
    rows = feature_rows({}, added)
    assert [row.name for row in rows[:3]] == ["f00", "f01", "f19"] and rows[0].share == 100
    assert rows[-1].name == "8 others" and sum(row.added for row in rows) == pytest.approx(sum(added.values()))
    assert feature_rows({}, {}) == ()


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"sec-fetch-site": "cross-site"}, "another site"),
        ({"sec-fetch-site": "same-site"}, "another site"),
        ({"origin": "http://evil.example"}, "another origin"),
        ({"origin": "null"}, "another origin"),
    ],
)
def test_a_change_from_elsewhere_is_refused(changed: dict[str, str], why: str) -> None:
    entrance = entrance_of(Settings())
    token = entrance.token("c")
    assert entrance.why_not_changed(OWN, cookie="c", token=token) == ""
    assert why in entrance.why_not_changed({**OWN, **changed}, cookie="c", token=token)


def test_a_change_needs_the_token_of_its_browser_and_a_console_that_may_change() -> None:
    entrance = entrance_of(Settings())
    for cookie, token in (("c", ""), ("c", entrance.token("d")), ("", entrance.token("")), ("c", "\udcff")):
        assert "older than the running console" in entrance.why_not_changed(OWN, cookie=cookie, token=token)
    other = Entrance(names=entrance.names, scheme="http")
    assert "older" in other.why_not_changed(OWN, cookie="c", token=entrance.token("c")), (
        "another process, another secret"
    )
    only_shows = replace(entrance, can_change=False)
    assert "only shows" in only_shows.why_not_changed(OWN, cookie="c", token=entrance.token("c"))


def test_another_name_for_this_machine_is_not_answered() -> None:
    entrance = entrance_of(Settings(console=ConsoleSettings(hosts=("Console.Example",))))
    for name in ("localhost:18516", "127.0.0.1", "console.example:443", "[::1]:18516"):
        assert entrance.why_not_asked({"host": name}) == ""
    for name in ("evil.example", "", "127.0.0.1.evil.example:18516"):
        assert "does not answer to the name" in entrance.why_not_asked({"host": name})


def test_beyond_this_machine_browsers_show_certificates() -> None:
    with pytest.raises(ConfigurationError, match=r"other machines can reach, and console.client_ca_file is empty"):
        check_entrance(Settings(console=ConsoleSettings(address="0.0.0.0:18516")))
    check_entrance(Settings())
    with pytest.raises(SettingError, match=r"console.client_ca_file"):
        ConsoleSettings(client_ca_file="ca.crt")


def test_the_loopback_address_of_either_family_needs_no_certificate() -> None:
    for address in ("127.0.0.1:1", "localhost:1", "[::1]:1"):
        check_entrance(replace(Settings(), console=ConsoleSettings(address=address)))
    with pytest.raises(ConfigurationError, match=r"console\.client_ca_file is empty"):
        check_entrance(replace(Settings(), console=ConsoleSettings(address="[::]:1")))
