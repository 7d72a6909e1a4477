"""The console over HTTP and in a real browser, with its services on a real broker."""

import http.client
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from mmrec.events.encoding import encode_event
from mmrec.events.rejected import encode_rejected
from mmrec.v1.behavior_pb2 import BehaviorEvent
from mmrec.wiring import open_producer, open_topics
from tests.console_world import RunningConsole
from tests.console_world import console as console  # noqa: PLC0414 - a fixture

pytestmark = pytest.mark.integration


@dataclass(frozen=True)
class Answered:
    status: int
    headers: dict[str, str]
    text: str

    @property
    def cookie(self) -> str:
        return self.headers["set-cookie"].partition(";")[0]

    @property
    def token(self) -> str:
        return re.findall(r'name="token" value="([0-9a-f]+)"', self.text)[0]


def _asked(
    console: RunningConsole, path: str, *, form: dict[str, str] | None = None, headers: dict[str, str] | None = None
) -> Answered:
    connection = http.client.HTTPConnection(console.address, timeout=120)
    body = None if form is None else urlencode(form)
    connection.request("GET" if form is None else "POST", path, body=body, headers=headers or {})
    answer = connection.getresponse()
    text = answer.read().decode("utf-8", errors="replace")
    connection.close()
    return Answered(answer.status, {k.lower(): v for k, v in answer.getheaders()}, text)


def _user(console: RunningConsole) -> str:
    return console.world.user_ids[0]


def test_the_storefront_shows_a_list_under_strict_headers(console: RunningConsole) -> None:
    page = _asked(console, f"/?user={_user(console)}")
    assert page.status == 200
    assert page.text.count('class="card"') == console.settings.console.num_items
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
    assert page.headers["x-content-type-options"] == "nosniff"
    assert "HttpOnly" in page.headers["set-cookie"] and "samesite=strict" in page.headers["set-cookie"].lower()
    assert not re.findall(r"<script(?! src=\"/static/)|<[^>]*\s(?:on\w+|style)=", page.text)
    for asset in ("console.css", "console.js", "icon.svg"):
        assert _asked(console, f"/static/{asset}").status == 200


def test_awkward_titles_are_text(console: RunningConsole) -> None:
    page = _asked(console, f"/?user={_user(console)}").text + _asked(console, "/?q=HYPERLINK").text
    assert "<script>document" not in page and "<img src=x" not in page
    assert "&lt;script&gt;" in page
    assert not re.search("[\u202a-\u202e\u2066-\u2069\x00\x07]", page)
    assert "x" * 300 not in page


def test_an_event_changes_the_list_and_the_change_is_named(console: RunningConsole) -> None:
    user = _user(console)
    page = _asked(console, f"/?user={user}")
    item = unescape(re.findall(r'name="item" value="([^"]+)"', page.text)[5])
    form = {"token": page.token, "user": user, "item": item, "behavior": "purchase"}
    headers = {"cookie": page.cookie, "origin": console.url, "sec-fetch-site": "same-origin", "x-fragment": "1"}
    changed = _asked(console, "/event", form=form, headers=headers)
    assert changed.status == 200
    assert "another list after" in changed.text and re.search(r"\d+ (?:ms|s)</b>", changed.text)
    assert "1 left:" in changed.text or "left" in changed.text
    records = [r.value for r in open_topics(console.settings).read(console.settings.kafka.behavior_events)]
    assert any(item.encode() in (value or b"") for value in records)


@pytest.mark.parametrize(
    ("changes", "headers", "said"),
    [
        ({"token": "0" * 64}, {}, "older than the running console"),
        ({}, {"cookie": ""}, "older than the running console"),
        ({}, {"origin": "http://evil.example"}, "another origin"),
        ({}, {"sec-fetch-site": "cross-site"}, "another site"),
    ],
)
def test_a_change_that_our_own_page_did_not_ask_for_is_refused(
    console: RunningConsole, changes: dict[str, str], headers: dict[str, str], said: str
) -> None:
    page = _asked(console, f"/?user={_user(console)}")
    form = {"token": page.token, "user": "ann", "item": "i", "behavior": "browse", **changes}
    refused = _asked(console, "/event", form=form, headers={"cookie": page.cookie, "origin": console.url, **headers})
    assert refused.status == 403
    assert said in refused.text


def test_other_names_are_not_answered(console: RunningConsole) -> None:
    assert _asked(console, "/", headers={"host": "evil.example"}).status == 421


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"behavior": "teleport"}, 400),
        ({"user": ""}, 400),
        ({"user": "u" * 300}, 400),
        ({"user": "a\x00b"}, 400),
        ({"item": ""}, 400),
        ({"item": "x" * 70_000}, 413),
    ],
)
def test_what_makes_no_sense_is_refused_in_words(console: RunningConsole, changes: dict[str, str], status: int) -> None:
    page = _asked(console, f"/?user={_user(console)}")
    form = {"token": page.token, "user": "ann", "item": "i", "behavior": "browse", **changes}
    answer = _asked(console, "/event", form=form, headers={"cookie": page.cookie, "origin": console.url})
    assert answer.status == status
    assert 'class="problem"' in answer.text


def test_an_item_without_a_picture_has_an_empty_one(console: RunningConsole) -> None:
    answer = _asked(console, "/picture?item=nothing")
    assert (answer.status, answer.headers["content-type"]) == (404, "image/svg+xml")


@pytest.mark.parametrize("path", ["/nothing", "/event", "/static/../app.py", "/models/promote"])
def test_what_is_not_there_says_so(console: RunningConsole, path: str) -> None:
    assert _asked(console, path).status in (404, 405)


def test_why_and_why_not_name_the_stage(console: RunningConsole) -> None:
    user = console.world.user_ids[1]
    shown = re.findall(r'name="item" value="([^"]+)"', _asked(console, f"/?user={user}").text)
    listed = _asked(console, f"/why?user={user}&item={quote(unescape(shown[0]))}").text
    assert "is on the list" in listed and "What each feature added" in listed
    missing = next(e.item_id for e in console.world.entries if e.item_id not in map(unescape, shown))
    absent = _asked(console, f"/why?user={user}&item={quote(missing)}").text
    assert "is not on the list" in absent and absent.count("<b>dropped</b>") == 1
    assert 'class="problem"' in _asked(console, f"/why?user={user}&item=nobody-sells-this").text


def test_releases_are_shown_beside_the_one_that_serves(console: RunningConsole) -> None:
    page = _asked(console, "/models").text
    (name,) = set(re.findall(r"/models/release\?id=([^\"&]+)", page))
    assert "serves" in page
    assert _asked(console, f"/models/release?id={name}").status == 200
    form = {"token": "", "release": "nothing", "expected": name}
    first = _asked(console, "/")
    form["token"] = first.token
    answer = _asked(console, "/models/promote", form=form, headers={"cookie": first.cookie, "origin": console.url})
    assert (answer.status, "no release" in answer.text) == (404, True)
    late = {**form, "expected": "another"}
    answer = _asked(console, "/models/promote", form=late, headers={"cookie": first.cookie, "origin": console.url})
    assert (answer.status, "look again" in answer.text) == (409, True)


def test_refused_records_are_grouped_shown_and_sent_again(console: RunningConsole) -> None:
    event = BehaviorEvent(event_id="e1", user_id="ann", item_id="<b>i</b>", behavior="cart")
    key, value = encode_event(event)
    place = {"cluster_id": "c", "topic_id": "t", "partition": 0, "offset": 1, "ingest_time_s": 1_700_000_000.0}
    refusal = {**place, "reason": "unknown_behavior", "detail": "<i>no</i>"}
    producer = open_producer(console.settings)
    record = encode_rejected({**refusal, "original_key": key, "original_value": value})
    producer.send_many(console.settings.kafka.rejected, [record])
    producer.close()
    page = _asked(console, "/refused?kind=events&reason=unknown_behavior")
    assert "&lt;i&gt;no&lt;/i&gt;" in page.text and "<b>i</b>" not in page.text
    assert "records are sent again" in page.text
    form = {"token": page.token, "kind": "events", "reason": "unknown_behavior"}
    sent = _asked(console, "/refused/send", form=form, headers={"cookie": page.cookie, "origin": console.url})
    assert (sent.status, "1 records were sent again" in sent.text) == (200, True)


def test_operations_show_engines_configuration_and_acts(console: RunningConsole) -> None:
    page = _asked(console, "/operations").text
    assert 'class="away"' in page and "milvus" in page
    assert "kafka.bootstrap" in page and "change_configuration" in page
    connection = http.client.HTTPConnection(console.address, timeout=60)
    connection.request("GET", "/live")
    answer = connection.getresponse()
    assert answer.getheader("content-type", "").startswith("text/event-stream")
    assert answer.readline().startswith(b'data: {"failed": ""')
    connection.close()


@pytest.fixture(scope="module")
def browser(console: RunningConsole) -> Iterator[Any]:
    selenium = pytest.importorskip("selenium", reason="no selenium: pip install selenium")
    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not binary or not driver:
        pytest.skip("no Chromium: apt-get install chromium chromium-driver")
    assert selenium
    import importlib

    webdriver = importlib.import_module("selenium.webdriver")
    service = importlib.import_module("selenium.webdriver.chrome.service").Service(driver)
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1280,1000"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    opened = webdriver.Chrome(options=options, service=service)
    opened.set_page_load_timeout(60)
    yield opened
    opened.quit()


def _wait(browser: Any, selector: str) -> Any:
    ui = __import__("selenium.webdriver.support.ui", fromlist=["WebDriverWait"])
    return ui.WebDriverWait(browser, 60).until(lambda b: b.find_elements("css selector", selector))[0]


def test_a_click_in_a_browser_changes_the_list_and_names_what_moved(console: RunningConsole, browser: Any) -> None:
    browser.get(f"{console.url}/?user={console.world.user_ids[2]}")
    before = [e.get_attribute("value") for e in browser.find_elements("css selector", ".card input[name=item]")]
    title = browser.find_element("css selector", ".card:nth-child(2) .title bdi").text
    browser.find_element("css selector", ".card:nth-child(2) button[value=purchase]").send_keys("\ue007")  # by keyboard
    effect = _wait(browser, ".effect")
    assert title[:40] in effect.text and "another list after" in effect.text
    after = [e.get_attribute("value") for e in browser.find_elements("css selector", ".card input[name=item]")]
    assert after != before
    assert browser.switch_to.active_element == effect  # whoever cannot see it is told


def test_titles_do_nothing_in_a_browser_and_stay_in_their_cards(console: RunningConsole, browser: Any) -> None:
    for user in console.world.user_ids[:3]:
        browser.get(f"{console.url}/?user={user}")
        assert browser.title == "Storefront · mmrec console"
        assert browser.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
    browser.set_window_size(400, 900)
    browser.get(f"{console.url}/?user={console.world.user_ids[0]}")
    assert browser.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
    browser.set_window_size(1280, 1000)
    refused = [e["message"] for e in browser.get_log("browser") if "Content Security Policy" in e["message"]]
    assert refused == []


def test_why_is_one_click_away_in_a_browser(console: RunningConsole, browser: Any) -> None:
    browser.get(f"{console.url}/?user={console.world.user_ids[3]}")
    browser.find_element("css selector", ".card:nth-child(1) .links a").click()
    assert "is on the list" in _wait(browser, ".verdict").text


def test_with_the_recommender_away_the_page_says_so_and_the_others_work(console: RunningConsole) -> None:
    """The last one: the recommender does not come back."""
    console.recommender.stop(0).wait(10)
    page = _asked(console, f"/?user={_user(console)}")
    assert page.status == 200
    assert "UNAVAILABLE" in page.text and "mmrec status" in page.text
    assert _asked(console, "/models").text.count('class="problem"') == 0
    answer = _asked(
        console,
        "/event",
        form={"token": _asked(console, "/refused").text and "", "user": "ann", "item": "i", "behavior": "browse"},
    )
    assert answer.status == 403
