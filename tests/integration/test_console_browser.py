"""Journeys through the console in a real browser: move a list, ask why, let another release serve and go back."""

from collections.abc import Iterator

import pytest
from selenium.common.exceptions import NoAlertPresentException
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from tests.browser import CHROMIUM, DRIVER, WHY_NOT, open_browser
from tests.console_server import Console

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason=WHY_NOT),
]
pytest_plugins = ["tests.console_server"]
PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def browser() -> Iterator[Chrome]:
    with open_browser() as driver:
        yield driver


def opened(browser: Chrome, console: Console, path: str) -> Chrome:
    browser.get(f"http://127.0.0.1:{console.port}{path}")
    return browser


def found(browser: Chrome, selector: str, *, containing: str = "") -> WebElement:
    """The first element with a text, waited for."""

    def look(driver: Chrome) -> WebElement | None:
        there = driver.find_elements(By.CSS_SELECTOR, selector)
        return next((element for element in there if containing in element.text), None)

    return WebDriverWait(browser, PATIENCE_S, ignored_exceptions=[Exception]).until(look)


def titles(browser: Chrome) -> list[str]:
    return [each.text for each in browser.find_elements(By.CSS_SELECTOR, ".card .title bdi")]


def test_a_purchase_changes_the_list_on_the_page_and_names_what_was_bought(browser: Chrome, console: Console) -> None:
    console.shop.touched.clear()
    opened(browser, console, "/?user=ann")
    assert titles(browser)[:2] == ["Red shoe", "Blue dress"]
    browser.execute_script("window.stayed = true")
    card = found(browser, ".card", containing="Blue dress")
    card.find_element(By.CSS_SELECTOR, "button[value=purchase]").click()
    effect = found(browser, ".effect", containing="from the purchase of Blue dress to another list")
    assert "1 up Blue dress (+1)" in effect.text
    assert titles(browser)[:2] == ["Blue dress", "Red shoe"]
    assert browser.execute_script("return window.stayed") is True, "a part of the page was replaced, not the page"
    assert "new" not in found(browser, ".card", containing="Blue dress").text


def test_titles_of_strangers_run_nothing_and_stay_in_their_place(browser: Chrome, console: Console) -> None:
    for path in ("/?user=ann", "/why?user=ann&item=evil"):
        opened(browser, console, path)
        with pytest.raises(NoAlertPresentException):
            browser.switch_to.alert.accept()
        sources = browser.execute_script("return [...document.scripts].map(s => s.src)")
        assert [source.rpartition("/")[2] for source in sources] == ["console.js"]
        wide = browser.execute_script(
            "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        assert wide <= 0, "a word of 500 letters does not widen the page"


def test_a_list_leads_to_why_and_why_names_the_stage(browser: Chrome, console: Console) -> None:
    opened(browser, console, "/?user=ann")
    found(browser, ".card", containing="Red shoe").find_element(By.CSS_SELECTOR, ".links a").click()
    assert "dropped" in found(browser, ".stages .dropped", containing="is among the candidates").text


def test_a_release_is_promoted_after_a_preview_and_the_one_before_serves_again(
    browser: Chrome, console: Console
) -> None:
    opened(browser, console, "/models")
    found(browser, "tr", containing="r1").find_element(By.PARTIAL_LINK_TEXT, "let it serve").click()
    form = found(browser, "form.confirm", containing="All lists will be made by r1")
    form.find_element(By.TAG_NAME, "button").send_keys(Keys.ENTER)
    found(browser, ".done", containing="r1 serves now")
    assert console.shop.serves == "r1"
    found(browser, "tr", containing="r2").find_element(By.PARTIAL_LINK_TEXT, "let it serve").click()
    found(browser, "form.confirm", containing="r2").find_element(By.TAG_NAME, "button").click()
    found(browser, ".done", containing="r2 serves now")
    assert console.shop.serves == "r2"


def test_a_service_that_is_away_leaves_the_page_in_use(browser: Chrome, console: Console) -> None:
    console.shop.failing = True
    opened(browser, console, "/?user=ann")
    console.shop.failing = False
    assert "the recommender failed" in found(browser, ".failed").text
    box = browser.find_element(By.NAME, "user")
    box.clear()
    box.send_keys("bob", Keys.ENTER)
    found(browser, "h2", containing="For bob")
    assert titles(browser)


def test_on_a_phone_nothing_is_wider_than_the_page(browser: Chrome, console: Console) -> None:
    browser.set_window_size(390, 840)
    for path in ("/?user=ann", "/why?user=ann&item=i1", "/models", "/refused", "/operations"):
        opened(browser, console, path)
        wide = browser.execute_script("return document.documentElement.scrollWidth - window.innerWidth")
        assert wide <= 0, path
    browser.set_window_size(1280, 900)
