"""A real browser without a window, for journeys through the console and pictures of it."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

CHROMIUM: Final = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER: Final = shutil.which("chromedriver")
WHY_NOT: Final = "no Chromium with its driver on the PATH; Debian: apt-get install chromium chromium-driver"
_ARGUMENTS: Final = (
    "--headless=new",
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-extensions",
)


@contextmanager
def open_browser(*arguments: str, width: int = 1_280, height: int = 900) -> Iterator[Chrome]:
    """A browser that ends with the block; CHROMIUM and DRIVER must be there."""
    options = ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for argument in (*_ARGUMENTS, f"--window-size={width},{height}", *arguments):
        options.add_argument(argument)
    driver = Chrome(options=options, service=Service(executable_path=str(DRIVER)))
    try:
        yield driver
    finally:
        driver.quit()
