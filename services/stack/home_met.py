"""A stack meets its home: whose state is there, and whether this configuration may go on with it."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mmrec.config import Settings, parse_settings
from mmrec.errors import IncompatibleStateError
from mmrec.home import StackHome
from mmrec.state.home_world import HomeWorld, Met, described, meet, world_of
from mmrec.wiring import check_rates


def meet_home(
    home: StackHome,
    document: Mapping[str, Any],
    *,
    folder: Path,
    config: Path | None,
    dataset: str,
    made_by: str,
    fresh: bool,
    say: Callable[[str], None],
) -> tuple[HomeWorld, Met]:
    """The world that is asked for, and what the home keeps; nothing is written.

    Args:
        document: The user's configuration, parsed.
        folder: What its relative paths start from.
        config, dataset: What the user named it by; None and empty for nothing.
        fresh: The home is about to be emptied, whatever it keeps.

    Raises:
        ConfigurationError: the configuration cannot be used, or the home keeps the state of another one.
        IncompatibleStateError: the home's record cannot be read.
    """
    tables = {name: value for name, value in document.items() if name != "stack"}
    settings = parse_settings(tables, where="the stack's configuration", folder=folder)
    # The configuration of a data set lies in the home itself; the data set's name leads back to it.
    named = str(config.resolve()) if config and not dataset else ""
    asked = world_of(settings, made_s=time.time(), dataset=dataset, config=named, made_by=made_by)
    if fresh:
        return asked, Met(world=None)
    met = meet(home, asked, rates_fit=lambda: rates_fit(settings))
    if met.world is not None:
        say(f"{home.folder} keeps {described(met.world)}; going on with it")
    for change in met.changes:
        say(f"  {change.setting} was {change.kept}, is {change.asked}: {change.advice}")
    return asked, met


def rates_fit(settings: Settings) -> bool:
    """Whether the live profiles decay by the configured rates already, or there are none."""
    try:
        check_rates(settings.stores, decay_per_day=settings.scoring.decay_per_day)
    except IncompatibleStateError:
        return False
    return True
