"""Structured logs and the counters that `mmrec status` shows.

    log = get_logger(__name__)
    log.info("index_published", collection="items_x", num_items=1000)      one JSON line on stderr

Long-running processes keep their counters in one small JSON file each, replaced as a whole.
"""

import json
import logging
import os
import sys
from pathlib import Path
from typing import Any

from mmrec.disk.files import replace_file
from mmrec.wire.instants import log_time

_RESERVED = frozenset({"time", "level", "logger", "event"})


class Logger:
    """Logs named events with fields, never sentences."""

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)

    def info(self, event: str, **fields: Any) -> None:
        """Something happened as it should."""
        self._log(logging.INFO, event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        """Something was repaired or left out."""
        self._log(logging.WARNING, event, fields)

    def error(self, event: str, **fields: Any) -> None:
        """Something failed."""
        self._log(logging.ERROR, event, fields)

    def _log(self, level: int, event: str, fields: dict[str, Any]) -> None:
        if self._logger.isEnabledFor(level):
            self._logger.log(level, event, extra={"mmrec_fields": fields})


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": log_time(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        fields = getattr(record, "mmrec_fields", {})
        line.update({k: v for k, v in fields.items() if k not in _RESERVED})
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def get_logger(name: str) -> Logger:
    """The logger of a module."""
    return Logger(name)


def configure_logging(*, level: str = "INFO") -> None:
    """Send every log line of this process to stderr as JSON. Called once, by shells.

    Args:
        level: Level of our own loggers. Libraries log from WARNING on, or from `level` where that is higher; their
            Python warnings are for developers and are shown at DEBUG only.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(logging.WARNING, logging.getLevelNamesMapping()[level]))
    logging.captureWarnings(True)
    logging.getLogger("py.warnings").setLevel(logging.WARNING if level == "DEBUG" else logging.ERROR)
    for name in ("mmrec", "jobs", "services", "feature_repo"):
        logging.getLogger(name).setLevel(level)


class StatusFile:
    """Counters of one process, for people and health checks: `<folder>/<process>.json`."""

    def __init__(self, folder: str, process: str) -> None:
        self._path = Path(folder) / f"{process}.json"
        self._path.parent.mkdir(parents=True, exist_ok=True)

    def write(self, figures: dict[str, Any], *, now_s: float) -> None:
        """Replace the file by `figures`, stamped with the process id and the instant."""
        document = {"pid": os.getpid(), "updated_s": now_s, **figures}
        replace_file(self._path, json.dumps(document), durable=False)


def read_status(folder: str) -> dict[str, dict[str, Any]]:
    """Every process's last counters, by process name; unreadable files are left out."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted(Path(folder).glob("*.json")):
        try:
            found[path.stem] = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
    return found
