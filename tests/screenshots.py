"""Pictures of the console's pages, of the stack that runs (`make up` in another window).

    make screenshots                                                    into build/screenshots
    python -m tests.screenshots --out FOLDER --user u00001

One PNG a page; the storefront before and after a favorite, dark, and as wide as a telephone. What is above MAX_BYTES is
named: README shows none of these.
"""

import argparse
import io
import sys
from pathlib import Path
from typing import Final

from PIL import Image
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from mmrec.config import load_settings
from mmrec.errors import ConfigurationError, MmrecError
from mmrec.home import StackHome
from mmrec.operating.running import configuration_file
from tests.browser import CHROMIUM, DRIVER, WHY_NOT, open_browser

MAX_BYTES: Final = 150_000
PATIENCE_S: Final = 30.0
COLORS: Final = 200


def taken(browser: Chrome, out: Path, name: str) -> Path:
    """What the browser shows, as a file."""
    path = out / f"{name}.png"
    with Image.open(io.BytesIO(browser.get_screenshot_as_png())) as whole:
        whole.convert("RGB").quantize(COLORS).save(path, optimize=True)
    size = path.stat().st_size
    print(f"{path}  {size / 1_000:,.0f} kB{', too large for README' if size > MAX_BYTES else ''}")
    return path


def take_all(browser: Chrome, out: Path, *, address: str, user: str) -> None:
    """Every page; the storefront's favorite is a real event of the user."""
    browser.get(f"{address}/?user={user}")
    taken(browser, out, "storefront-before")
    last = browser.find_elements(By.CSS_SELECTOR, ".card")[-1]
    button = last.find_element(By.CSS_SELECTOR, "button[value=favorite]")
    browser.execute_script("arguments[0].click(); window.scrollTo(0, 0)", button)
    WebDriverWait(browser, PATIENCE_S).until(lambda driver: driver.find_elements(By.CSS_SELECTOR, ".effect"))
    taken(browser, out, "storefront-after")
    first = browser.find_element(By.CSS_SELECTOR, ".card .links a").get_attribute("href")
    browser.get(str(first))
    taken(browser, out, "why")
    for name in ("models", "refused", "operations"):
        browser.get(f"{address}/{name}")
        taken(browser, out, name)


def main() -> int:
    """Parse the command line and take them."""
    parser = argparse.ArgumentParser(
        prog="tests.screenshots", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", default="", help="of the stack that runs where not given")
    parser.add_argument("--out", type=Path, default=Path("build/screenshots"))
    parser.add_argument("--user", default="u00001")
    asked = parser.parse_args()
    try:
        if not (CHROMIUM and DRIVER):
            raise ConfigurationError(WHY_NOT)
        settings = load_settings(configuration_file(asked.config, StackHome.from_environment()))
    except MmrecError as error:
        print(error, file=sys.stderr)
        return 1
    address = f"http://{settings.console.address}"
    asked.out.mkdir(parents=True, exist_ok=True)
    with open_browser() as browser:
        take_all(browser, asked.out, address=address, user=asked.user)
    storefront = f"{address}/?user={asked.user}"
    with open_browser("--force-dark-mode", "--enable-features=WebContentsForceDark") as browser:
        browser.get(storefront)
        taken(browser, asked.out, "storefront-dark")
    with open_browser(width=500) as browser:
        browser.get(storefront)
        taken(browser, asked.out, "storefront-telephone")
    return 0


if __name__ == "__main__":
    sys.exit(main())
