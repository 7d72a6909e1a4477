"""What the console shows, without a browser: changes of lists, texts of strangers, amounts, stages, and who may ask."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmrec.config import Settings, parse_settings
from mmrec.console.amounts import age, duration, instant, number, price
from mmrec.console.attempts import attempt
from mmrec.console.entrance import COOKIE, check_entrance, entrance_of
from mmrec.console.list_changes import list_changes
from mmrec.console.refused import record_view
from mmrec.console.releases import releases_view
from mmrec.console.shown_text import MAX_CHARACTERS, shown_text
from mmrec.console.storefront import new_visitor, visitor_of
from mmrec.console.why import NUM_FEATURES, STAGES, feature_rows, stages_of
from mmrec.errors import ConfigurationError, InvalidRequestError, NotFoundError, SettingError, StoreError
from mmrec.v1 import admin_pb2, recommender_pb2

IDS = st.lists(st.sampled_from("abcdefgh"), unique=True)


def parsed(document: dict[str, object]) -> Settings:
    from pathlib import Path

    return parse_settings(document, where="test", folder=Path("/tmp"))


@given(IDS, IDS)
def test_changes_lead_from_one_list_to_the_other(before: list[str], after: list[str]) -> None:
    changes = list_changes(before, after)
    assert {m.item_id for m in changes.entered} == set(after) - set(before)
    assert {m.item_id for m in changes.left} == set(before) - set(after)
    moved = {m.item_id: m.places for m in (*changes.up, *changes.down)}
    both = set(before) & set(after)
    assert moved == {i: p for i in both if (p := before.index(i) - after.index(i))}
    assert bool(changes) == (before != after)


@given(st.text(), st.integers(min_value=1, max_value=50))
def test_shown_text_is_one_short_line_in_which_nothing_is_unseen(text: str, most: int) -> None:
    shown = shown_text(text, max_characters=most)
    assert len(shown) <= most
    assert not [c for c in shown if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp")]
    assert not set(shown) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f")


def test_shown_text_keeps_words_and_emoji_and_cuts_the_rest() -> None:
    assert shown_text("  Red\n dress \U0001f469\u200d\U0001f527 ") == "Red dress \U0001f469\u200d\U0001f527"
    assert shown_text("x" * 5_000) == "x" * (MAX_CHARACTERS - 1) + "…"
    assert len(shown_text("Z" + "\u0301" * 100 + "a")) < 8
    assert shown_text("") == ""


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.0124, "12 ms"), (3.44, "3.4 s"), (300.0, "5 min"), (7 * 3_600.0, "7 h"), (3 * 86_400.0, "3 d")],
)
def test_durations_have_the_unit_that_fits(seconds: float, said: str) -> None:
    assert duration(seconds) == said
    assert age(1_000_000.0, now_s=1_000_000.0 + seconds) == f"{said} ago"


def test_amounts_that_are_none_say_so() -> None:
    assert (duration(float("nan")), duration(float("inf")), age(0.0, now_s=5.0), instant(1e300)) == (
        "-",
        "-",
        "never",
        "never",
    )
    assert (number(12_034.0), number(0.123456), number(float("inf"))) == ("12,034", "0.1235", "inf")
    assert (price(12.5, "EUR"), price(0.0, "EUR"), price(-1.0, "EUR"), price(float("nan"), "EUR")) == (
        "12.50 EUR",
        "",
        "",
        "",
    )


def test_a_part_that_fails_says_what_and_what_to_do() -> None:
    def fails(error: Exception) -> None:
        raise error

    assert attempt("the list", lambda: 5).value == 5
    for error, status in ((StoreError("away"), 503), (NotFoundError("no"), 404), (InvalidRequestError("bad"), 400)):
        part = attempt("the list", lambda error=error: fails(error))
        assert (part.status, part.failed.startswith("the list: "), bool(part.advice)) == (status, True, True)
    with pytest.raises(ZeroDivisionError):
        attempt("the list", lambda: 1 / 0)


@pytest.mark.parametrize("key", ["", "~", "   ", "x" * 257])
def test_a_visitor_needs_a_name(key: str) -> None:
    with pytest.raises(InvalidRequestError, match="give a user id"):
        visitor_of(key)


def test_visitors_are_users_or_anonymous() -> None:
    assert visitor_of("ann").user_id == "ann"
    assert visitor_of("~ann").anonymous_id == "ann"
    assert visitor_of(new_visitor()).key != visitor_of(new_visitor()).key


def test_every_outcome_but_the_list_drops_at_one_stage() -> None:
    outcome = recommender_pb2.ItemOutcome
    for value in outcome.values():
        dropped = [stage for stage in stages_of(value) if stage.state == "dropped"]
        is_known_drop = value not in (outcome.ITEM_OUTCOME_UNSPECIFIED, outcome.ITEM_OUTCOME_LISTED)
        assert len(dropped) == is_known_drop
        assert len(stages_of(value)) == len(STAGES)


def test_features_that_are_not_shown_are_told_as_one_sum() -> None:
    contributions = {f"f{n}": float(n) for n in range(NUM_FEATURES + 3)}
    rows = feature_rows({"f14": 2.0}, contributions)
    assert sum(row.added for row in rows) == pytest.approx(sum(contributions.values()))
    assert (rows[0].name, rows[0].share, rows[-1].name) == ("f14", 100, "3 others")
    assert feature_rows({}, {}) == ()


def test_releases_say_how_they_stand_newest_first() -> None:
    records = [
        admin_pb2.ReleaseRecord(release_id="r1", metrics={"hr_at_10": 0.1}),
        admin_pb2.ReleaseRecord(release_id="r2", refusal="too low"),
        admin_pb2.ReleaseRecord(release_id="r3", missed_gates="recall"),
        admin_pb2.ReleaseRecord(release_id="r4"),
        admin_pb2.ReleaseRecord(release_id="r5", problem="no file"),
    ]
    answer = admin_pb2.ListReleasesResponse(releases=records, current_release_id="r4", previous_release_id="r1")
    states = {row.release_id: row.state for row in releases_view(answer).rows}
    assert list(states) == ["r5", "r4", "r3", "r2", "r1"]
    assert list(states.values()) == ["cannot be read", "serves", "misses a gate", "refused", "served before"]


def test_a_record_that_is_no_text_is_shown_all_the_same() -> None:
    view = record_view(admin_pb2.RejectedRecord(original_value=b"\xff\x00{\xe2\x80\xae}" * 2_000, detail="\u202e"))
    assert "{" in view.text and "\x00" not in view.text and "\u202e" not in view.text + view.detail
    assert len(view.text) <= 2_000


def test_beyond_loopback_browsers_show_a_certificate() -> None:
    open_to_all = {"address": "0.0.0.0:1", "certificate_file": "c", "key_file": "k"}
    with pytest.raises(ConfigurationError, match=r"console\.client_ca_file is empty"):
        check_entrance(parsed({"console": open_to_all}))
    check_entrance(parsed({"console": {**open_to_all, "client_ca_file": "ca"}}))
    for address in ("127.0.0.1:1", "localhost:1", "[::1]:1"):
        check_entrance(parsed({"console": {"address": address}}))


@pytest.mark.parametrize(
    ("name", "value"), [("num_items", 0), ("num_items", 101), ("wait_s", 0), ("wait_s", 61), ("address", "x")]
)
def test_settings_of_the_console_have_ranges(name: str, value: object) -> None:
    with pytest.raises((SettingError, ConfigurationError), match=f"console.{name}"):
        parsed({"console": {name: value}})


def test_only_our_own_pages_change_something() -> None:
    entrance = entrance_of(parsed({"console": {"hosts": ["Console.example"]}}))
    own = {"host": "console.example", "origin": "http://console.example", "sec-fetch-site": "same-origin"}
    token = entrance.token("browser")
    assert entrance.why_not_asked(own) == ""
    assert entrance.why_not_changed(own, cookie="browser", token=token) == ""
    assert "name" in entrance.why_not_asked({"host": "evil.example:80"})
    assert "name" in entrance.why_not_asked({})
    for headers, cookie, shown in (
        ({**own, "origin": "null"}, "browser", token),
        ({**own, "origin": "https://console.example"}, "browser", token),
        ({**own, "sec-fetch-site": "same-site"}, "browser", token),
        (own, "", entrance.token("")),
        (own, "another", token),
        (own, "browser", "\u00fc"),
    ):
        assert entrance.why_not_changed(headers, cookie=cookie, token=shown)
    looks = entrance_of(parsed({"console": {"can_change": False}}))
    assert "only shows" in looks.why_not_changed({}, cookie="b", token=looks.token("b"))
    assert entrance_of(Settings()).token("b") != entrance_of(Settings()).token("b")
    assert COOKIE
