"""Rate cap and bot rule: functions of the events a profile accepted, in the order of its source, and of nothing else.

    windows are the multiples of `cap_window_s` in ingest time
    CAPPED  the window holds `cap_events` accepted events already: it is full
    BOT     there were `bot_windows` full windows in a row; lasts `bot_quiet_s` from the event that filled the last one

Refused events change no state here, so a profile rebuilt from accepted events alone has the same windows and judges
the next event the same way. An event of an earlier window than the profile's (from a source that lags behind) is let
through, because its window can no longer be counted.
"""

import math

from mmrec.scoring.profile import NEVER_S, UserProfile
from mmrec.scoring.settings import ScoringConfig
from mmrec.scoring.verdicts import Verdict

ACCEPTED, CAPPED, BOT = int(Verdict.ACCEPTED), int(Verdict.CAPPED), int(Verdict.BOT)


class RateWindow:
    """The rate state of one user while a batch is applied."""

    __slots__ = ("_config", "bot_until_s", "full_windows", "window_events", "window_start_s")

    def __init__(self, profile: UserProfile, config: ScoringConfig) -> None:
        self._config = config
        self.window_start_s = profile.window_start_s
        self.window_events = profile.window_events
        self.full_windows = profile.full_windows
        self.bot_until_s = profile.bot_until_s

    def verdict(self, ingest_time_s: float) -> int:
        """ACCEPTED, CAPPED or BOT for an event that arrives now; changes nothing."""
        quiet_s = self._config.bot_quiet_s
        began_s = self.bot_until_s - quiet_s if quiet_s < math.inf else NEVER_S  # inf - inf is no instant
        if began_s <= ingest_time_s < self.bot_until_s:
            return BOT
        full = self.window_events >= self._config.cap_events
        return CAPPED if full and self._windows_later(ingest_time_s) == 0 else ACCEPTED

    def count(self, ingest_time_s: float) -> None:
        """An event was accepted."""
        config, later = self._config, self._windows_later(ingest_time_s)
        if later < 0:
            return
        if later > 0:
            if later != 1 or self.window_events < config.cap_events:
                self.full_windows = 0
            self.window_start_s = math.floor(ingest_time_s / config.cap_window_s) * config.cap_window_s
            self.window_events = 0
        self.window_events += 1
        if self.window_events == config.cap_events:
            self.full_windows += 1
            if config.bot_windows and self.full_windows >= config.bot_windows:
                self.bot_until_s, self.full_windows = ingest_time_s + config.bot_quiet_s, 0

    def _windows_later(self, ingest_time_s: float) -> float:
        """Windows from the profile's one to that of an instant; inf where the profile has none yet."""
        if self.window_start_s == NEVER_S:
            return math.inf
        length_s = self._config.cap_window_s
        return math.floor(ingest_time_s / length_s) - round(self.window_start_s / length_s)
