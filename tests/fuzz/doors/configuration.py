"""Configuration files: settings, or a ConfigurationError."""

from collections.abc import Sequence
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Final

from mmrec.config import load_settings
from mmrec.errors import ConfigurationError
from tests.fuzz import awkward
from tests.fuzz.byte_damage import damaged
from tests.fuzz.door import Fuzzed, Outcome, Parts, accepted, refused

LINES: Final = (
    *("[kafka]", 'bootstrap = "127.0.0.1:19092"', 'behavior_events = "events"', "num_partitions = 2"),
    *("retention_days = 30.0", "[events]", "max_future_s = 300.0", "horizon_s = 0.0", "max_value_bytes = 65536"),
    *("[stores]", 'event_log = "log"', 'online_store = "sqlite"', "redis_cluster = false", "[serving]"),
    *('recommender = "127.0.0.1:18500"', "num_candidates = 400", "diversity = 0.5"),
    *("[content]", 'text_encoder = "minilm"', "[statistics]", "half_lives_days = [1.0, 7.0]", "num_neighbors = 50"),
    *("[publish]", "num_collections = 5", "[metrics]", 'collector = "127.0.0.1:9100"', "late_s = 60.0", "[scoring]"),
    *("max_items = 256", "ring_size = 512", "decay_per_day = [0.05]", "[[behaviors]]", 'name = "browse"'),
    *("behavior_id = 1", "weight = 1.0", "[[behaviors]]", 'name = "purchase"', "behavior_id = 4", "weight = 10.0"),
)
VALUES: Final = (
    *("1", "-1", "0", "1.5", "true", '""', '"x"', "[]", "{}", "nan", "inf", "-inf", "[1, 2]", '["a"]', "{a = 1}"),
    *("99999999999999999999", "2026-01-01", "2026-01-01T00:00:00Z", "1e400", "'''x'''", "0x10", "[[]]", "[" * 3_000),
)


class ConfigurationDoor:
    """load_settings."""

    name = "configuration"
    batch = 100
    seeds = 4

    def __init__(self) -> None:
        self._folder = TemporaryDirectory(prefix="mmrec-fuzz-")

    def valid(self, rng: Random, number: int) -> Parts:
        return ("\n".join([*LINES, f"# {number}", ""]).encode(),)

    def malformed(self, rng: Random, number: int) -> Fuzzed:
        lines = list(LINES)
        if rng.random() < 0.35:
            value, made_by = damaged("\n".join(lines).encode(), rng)
            return Fuzzed((value,), made_by=made_by)
        for _ in range(rng.choice((1, 1, 2))):
            at = rng.randrange(len(lines))
            kind = rng.randrange(5)
            if kind == 0:
                del lines[at]
            elif kind == 1:
                lines.insert(at, rng.choice(lines))
            elif "=" in lines[at]:
                name = lines[at].partition(" =")[0]
                lines[at] = f"{name} = {rng.choice(VALUES) if kind < 4 else awkward.json_text(rng)}"
            else:
                lines[at] = rng.choice(("[x]", "[[kafka]]", "[behaviors]", "[scoring.x]", "kafka = 1", "[", "[ ]"))
        return Fuzzed(("\n".join(lines).encode(),), made_by="lines")

    def feed(self, inputs: Sequence[Fuzzed]) -> list[Outcome]:
        return [self._outcome(fuzzed) for fuzzed in inputs]

    def _outcome(self, fuzzed: Fuzzed) -> Outcome:
        path = Path(self._folder.name) / "mmrec.toml"
        path.write_bytes(fuzzed.parts[0] or b"")
        try:
            settings = load_settings(path)
        except ConfigurationError as error:
            return refused("ConfigurationError", str(error))
        return accepted(intact=settings.kafka.behavior_events == "events" and len(settings.behaviors) == 2)

    def close(self) -> None:
        self._folder.cleanup()
