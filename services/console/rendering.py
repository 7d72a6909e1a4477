"""Templates of the pages: everything in them is escaped, and a name that is not there is an error."""

import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined

from mmrec.console.amounts import age, duration, instant, number
from mmrec.console.shown_text import shown_text

PAGES = (
    ("/", "Storefront"),
    ("/why", "Why"),
    ("/models", "Models"),
    ("/refused", "Refused"),
    ("/operations", "Operations"),
)
"""In the order of the menu."""


def link(path: str, **parameters: str) -> str:
    """A path of ours with its parameters; empty ones are left out."""
    query = urlencode({name: value for name, value in parameters.items() if value}, errors="replace")
    return f"{path}?{query}" if query else path


def templates() -> Environment:
    """The environment that all pages are rendered in."""
    environment = Environment(
        loader=PackageLoader("services.console", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        ago=lambda instant_s: age(instant_s, now_s=time.time()),
        duration=duration,
        instant=instant,
        number=number,
        shown=shown_text,
    )
    environment.globals.update(link=link, pages=PAGES)
    return environment


def rendered(environment: Environment, template: str, values: Mapping[str, Any]) -> str:
    """A page, or a part of one."""
    return environment.get_template(template).render(values)
