"""The console over HTTP: pages of services that answer, of services that are away, and what it refuses to change."""

import re
import subprocess
import sys
from html import unescape

import pytest

from tests.console_server import Console

pytestmark = pytest.mark.integration
pytest_plugins = ["tests.console_server"]


def test_an_event_on_the_page_reaches_the_collector_and_the_page_shows_what_it_moved(console: Console) -> None:
    console.shop.touched.clear()
    page, text = console.ask("/?user=ann")
    assert page.status == 200 and text.index("Red shoe") < text.index("Blue dress")
    answer, changed = console.change("/event", {"user": "ann", "item": "i2", "behavior": "purchase"}, x_fragment="1")
    assert answer.status == 200 and console.shop.touched == ["i2"]
    assert changed.index("Blue dress") < changed.index("Red shoe") and "<html" not in changed
    said = unescape(re.sub(r"<[^>]+>", "", changed))
    assert re.search(r"(ms|s) from the purchase of Blue dress to another list", said)
    assert "1 up Blue dress (+1)" in said and "1 down Red shoe (-1)" in said
    whole, text = console.change("/event", {"user": "ann", "item": "i2", "behavior": "browse"})
    assert whole.status == 200 and "<html" in text and "The list did not change" in text, "without the script, too"


def test_titles_of_strangers_are_text_and_turn_nothing(console: Console) -> None:
    for path in ("/?user=ann", "/why?user=ann&item=evil"):
        page, text = console.ask(path)
        assert page.status == 200 and "<script>alert" not in text and "\u202e" not in text
        assert "&lt;script&gt;alert(1)" in text and "W" * 300 not in text
        policy = page.getheader("content-security-policy", "")
        assert "default-src 'none'" in policy and "script-src 'self'" in policy and "unsafe" not in policy
        assert page.getheader("x-content-type-options") == "nosniff"
        assert not re.search(r"<script(?! src=)|\son[a-z]+=|style=", text), "nothing in a page needs more"
    page, text = console.ask("/?user=" + "%22%3E%3Cscript%3E")
    assert "<script>" not in text.replace("<script src=", "")


def test_why_not_names_the_stage_that_dropped_an_item(console: Console) -> None:
    page, text = console.ask("/why?user=ann&item=i1")
    assert page.status == 200 and "is not on the list" in text and "is among the candidates: <b>dropped</b>" in text
    page, text = console.ask("/why?user=ann&item=gone")
    assert "is not in the catalogue" in unescape(text) and "Look for another one." in text


def test_a_release_serves_after_a_confirmed_promotion_and_not_after_an_outdated_one(console: Console) -> None:
    _, text = console.ask("/models/release?id=r1")
    assert "All lists will be made by <b>r1</b>" in text and 'name="expected" value="r2"' in text and "-0.1" in text
    answer, text = console.change("/models/promote", {"release": "r1", "expected": "r9"})
    assert answer.status == 409 and console.shop.serves == "r2" and "look again" in text
    answer, text = console.change("/models/promote", {"release": "r1", "expected": "r2"})
    assert answer.status == 200 and console.shop.serves == "r1" and "r1 serves now; before it, r2 did" in text
    console.change("/models/promote", {"release": "r2", "expected": "r1"})
    assert console.shop.serves == "r2"


@pytest.mark.parametrize(
    ("fields", "headers"),
    [
        ({"token": "0" * 64}, {}),
        ({"token": ""}, {}),
        ({}, {"origin": "http://evil.example"}),
        ({}, {"sec_fetch_site": "cross-site"}),
        ({}, {"cookie": "mmrec-console=other"}),
    ],
)
def test_a_change_that_another_site_asks_for_changes_nothing(
    console: Console, fields: dict[str, str], headers: dict[str, str]
) -> None:
    before = list(console.shop.touched)
    asked = {"user": "ann", "item": "i1", "behavior": "browse", **fields}
    answer, text = console.change("/event", asked, **{n.replace("_", "-"): v for n, v in headers.items()})
    assert answer.status == 403 and "Nothing was changed" in text
    assert console.shop.touched == before


@pytest.mark.parametrize(
    ("fields", "status", "said"),
    [
        ({"user": "ann", "item": "i1", "behavior": "steal"}, 400, "is not configured"),
        ({"user": "", "item": "i1", "behavior": "browse"}, 400, "give a user id"),
        ({"user": "ann", "item": "x" * 70_000, "behavior": "browse"}, 413, "65,536 bytes"),
    ],
)
def test_a_form_that_cannot_be_meant_says_what_would_be_right(
    console: Console, fields: dict[str, str], status: int, said: str
) -> None:
    answer, text = console.change("/event", fields)
    assert answer.status == status and said in unescape(text)


def test_another_name_and_another_page_are_refused(console: Console) -> None:
    page, text = console.ask("/", host="evil.example")
    assert page.status == 421 and "does not answer to the name" in text
    page, text = console.ask("/nowhere")
    assert page.status == 404 and "There is no such page" in text
    page, _ = console.ask("/static/../app.py")
    assert page.status == 404
    page, _ = console.ask("/picture?item=i1")
    assert page.status == 404, "the shop has no pictures"


def test_what_is_away_says_so_and_the_rest_of_the_page_works(console: Console) -> None:
    console.shop.failing = True
    page, text = console.ask("/?user=ann")
    console.shop.failing = False
    assert page.status == 200 and "the recommender failed" in text and "mmrec status" in text and "Somebody new" in text
    page, text = console.ask("/operations")
    assert page.status == 200 and text.count('class="failed"') == 4, "the shop's administration has releases alone"


def test_beyond_loopback_it_does_not_start_without_certificates(console: Console) -> None:
    command = [sys.executable, "-m", "services.console", "--config", str(console.config)]
    environment = {"MMREC__CONSOLE__ADDRESS": "0.0.0.0:18599", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode != 0 and "set console.certificate_file" in done.stderr + done.stdout


def test_a_port_that_is_taken_ends_it_in_words(console: Console) -> None:
    command = [sys.executable, "-m", "services.console", "--config", str(console.config)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1 and "cannot listen on" in done.stderr + done.stdout


def test_an_item_without_a_picture_has_an_empty_one(console: Console) -> None:
    page, text = console.ask("/picture?item=nothing")
    assert page.status == 404 and page.getheader("content-type") == "image/svg+xml" and text.startswith("<svg")
