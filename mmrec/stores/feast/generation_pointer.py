r"""Which generation of profiles is live, and by which rates each one's counts decay: a few rows beside the profiles.

    user_profile     "\x01live-generation"    {"live": "b", "flips": 3}     the number tells two flips from none
                     "\x01requested-flip"     {"requested": "a"}
    user_profile[_b] "\x01generation"         {"decay_per_day": [0.05]}

A generation without such a row decays by the rates the repository was applied with. One indexed read says that nothing
has changed, so readers ask at every read.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mmrec.errors import IncompatibleStateError
from mmrec.features.schema import (
    FLIP_KEY,
    GENERATION_KEY,
    GENERATIONS,
    LIVE_KEY,
    check_generation,
    check_idle_generation,
)

Read = Callable[[str, Sequence[str]], Mapping[str, bytes]]
"""(generation, keys) -> values of the rows that are there."""
Write = Callable[[str, Mapping[str, bytes]], None]
"""(generation, value by key): in one step where the engine can."""


class GenerationPointer:
    """Reads and moves the pointer through functions that know the engine."""

    def __init__(
        self, *, read: Read, write: Write, applied_rates: Sequence[float], rates: Sequence[float] | None, where: str
    ) -> None:
        """Nothing is read yet.

        Args:
            applied_rates: Decay rates of the last apply, per day.
            rates: Those configured; None where the caller asks for none.
            where: Name of the repository, for messages.
        """
        self._read = read
        self._write = write
        self._applied_rates = list(applied_rates)
        self._rates = None if rates is None else list(rates)
        self._where = where
        self._seen: bytes | None = None
        self._live = ""

    def with_rates(self, rates: Sequence[float]) -> "GenerationPointer":
        """The same pointer for another configuration."""
        return GenerationPointer(
            read=self._read, write=self._write, applied_rates=self._applied_rates, rates=rates, where=self._where
        )

    def live(self) -> str:
        """Name of the live generation.

        Raises:
            IncompatibleStateError: its counts decay by other rates than those configured.
        """
        seen = self._row(GENERATIONS[0], LIVE_KEY)
        if seen != self._seen or not self._live:
            name = _document(seen).get("live", GENERATIONS[0])
            self.check(name)
            self._seen, self._live = seen, name
        return self._live

    def live_of_any_rates(self) -> str:
        """The same, whatever its rates."""
        return str(_document(self._row(GENERATIONS[0], LIVE_KEY)).get("live", GENERATIONS[0]))

    def set_live(self, name: str) -> None:
        """Move the pointer; a request for a flip is answered by it."""
        flips = int(_document(self._row(GENERATIONS[0], LIVE_KEY)).get("flips", 0)) + 1
        pointer = _value({"live": check_generation(name), "flips": flips})
        self._write(GENERATIONS[0], {LIVE_KEY: pointer, FLIP_KEY: _value({"requested": None})})

    def requested(self) -> str | None:
        """The generation asked for."""
        name = _document(self._row(GENERATIONS[0], FLIP_KEY)).get("requested")
        return None if name is None else str(name)

    def request(self, name: str | None) -> None:
        """Leave or take back a request."""
        wanted = name if name is None else check_generation(name)
        self._write(GENERATIONS[0], {FLIP_KEY: _value({"requested": wanted})})

    def begin(self, name: str, *, empty: Callable[[], None]) -> None:
        """Empty an idle generation and note the configured rates with it."""
        live = self.live_of_any_rates()
        check_idle_generation(name, live=live)
        if self.requested() == name:
            self.request(None)
        # The next apply will say other rates: those of the live one are written down while they are known.
        self._write(live, {GENERATION_KEY: _value({"decay_per_day": self.rates_of(live)})})
        empty()
        rates = self._applied_rates if self._rates is None else self._rates
        self._write(name, {GENERATION_KEY: _value({"decay_per_day": rates})})

    def rates_of(self, name: str) -> list[float]:
        """Rates by which a generation's counts decay, per day."""
        rates: list[float] = _document(self._row(name, GENERATION_KEY)).get("decay_per_day", self._applied_rates)
        return rates

    def fits(self, name: str) -> bool:
        """Whether a generation decays by the configured rates."""
        return self._rates is None or self.rates_of(name) == self._rates

    def check(self, name: str) -> None:
        """IncompatibleStateError where a generation does not decay by the configured rates."""
        if not self.fits(name):
            raise IncompatibleStateError(
                f"{self._where} keeps counts that decay by {self.rates_of(name)} per day, the configuration says "
                f"{self._rates}; keep the old rates, or run `mmrec rebuild` with the new ones"
            )

    def _row(self, generation: str, key: str) -> bytes | None:
        return self._read(generation, [key]).get(key)


def _document(value: bytes | None) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(value) if value else {}
    return document


def _value(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()
