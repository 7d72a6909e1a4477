"""Weights of behaviors as the configuration file has them now: changing one needs no restart and no replay.

    weights = LiveWeights(settings)
    behaviors = weights.behaviors()       every second or so; the file is read again only when it changed

Profiles hold counts, so new weights apply to everything stored at the next read. Phrases, and which behaviors hide
items, change in the same way. Only the scoring stream keeps the weights of its start: it uses them to drop the least
valuable items of a full profile for good, and a batch that is judged twice must give the same bytes twice.
Other changes are only logged here: a behavior that is added or removed takes effect when processes start again (without
a replay, since it had no events), and other half-lives need `mmrec rebuild`. Rankers keep the weights that their
release was trained with.
"""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from mmrec.config import Settings, load_settings
from mmrec.errors import ConfigurationError
from mmrec.scoring.behaviors import Behavior, BehaviorSet
from mmrec.telemetry.logs import get_logger

log = get_logger(__name__)


class LiveWeights:
    """Watches one configuration file; not for two threads at a time."""

    def __init__(self, settings: Settings) -> None:
        """Start with the weights of `settings`; they never change if the settings came from no file."""
        self._file = Path(settings.config_file) if settings.config_file else None
        self._settings = settings
        self._behaviors = settings.behaviors
        self._seen = self._stamp()

    def behaviors(self) -> BehaviorSet:
        """The behaviors this process was started with, with the newest weights; the same object while none changed."""
        stamp = self._stamp()
        if self._file is None or stamp is None or stamp == self._seen:
            return self._behaviors
        self._seen = stamp
        try:
            fresh = load_settings(self._file)
        except ConfigurationError as error:  # half written, or invalid: the last valid weights stay
            log.error("weights_not_taken", reason=str(error))
            return self._behaviors
        if _kinds(fresh.behaviors) != _kinds(self._behaviors):
            log.warning("behaviors_changed", hint="start this process again; no replay is needed")
            return self._behaviors
        if fresh.scoring.decay_per_day != self._settings.scoring.decay_per_day:
            log.warning("half_lives_changed", hint="run `mmrec rebuild`, then start this process again")
        if _configured(fresh.behaviors) != _configured(self._behaviors):
            self._behaviors = fresh.behaviors
            log.info("weights_taken", **{behavior.name: behavior.weight for behavior in fresh.behaviors})
        return self._behaviors

    def _stamp(self) -> tuple[int, int] | None:
        try:
            found = self._file.stat() if self._file is not None else None
        except OSError:
            return None
        return (found.st_mtime_ns, found.st_size) if found is not None else None


def _configured(behaviors: BehaviorSet) -> list[dict[str, Any]]:
    """All configured properties of behaviors, including those that do not change scores."""
    return [asdict(behavior) for behavior in behaviors]


def _kinds(behaviors: BehaviorSet) -> list[Behavior]:
    """Behaviors without what may change while processes run."""
    return [replace(behavior, weight=0.0) for behavior in behaviors]
