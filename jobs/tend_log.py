"""Keep the event log small: compact appends, drop days that are too old, remove users who asked to be forgotten.

python -m jobs.tend_log --config mmrec.toml                  once
python -m jobs.tend_log --config mmrec.toml --follow 60      every minute, until SIGTERM or Ctrl-C

Events are kept for scoring.idle_horizon_s before the newest ingest time; 0 or inf keeps all. Identify rows stay for
good, until one of their sides is forgotten.
"""

import sys
import threading
import time
from dataclasses import asdict
from typing import Any

from mmrec.clock import SystemClock
from mmrec.config import Settings
from mmrec.programs.shell import exit_status, shell_parser, stop_on_signals
from mmrec.telemetry.logs import StatusFile, configure_logging, get_logger
from mmrec.telemetry.metrics import Metrics
from mmrec.telemetry.metrics_endpoint import serve_metrics
from mmrec.wire.declared import NotNegative, argument
from mmrec.wiring import measure_event_log, open_event_log, settings_from

MIN_APPENDS = 4
"""With fewer new appends than this, compaction waits for the next turn."""
STATUS_S = 10.0
"""Seconds between two status files, so that a supervisor sees that a waiting program is alive."""

log = get_logger("jobs.tend_log")


def run(settings: Settings, *, follow_s: float, stop: threading.Event) -> None:
    """Maintain the log once; with `follow_s` > 0 again after that many seconds, until `stop`."""
    clock, events = SystemClock(), open_event_log(settings)
    status = StatusFile(settings.stores.status, "tend_log")
    metrics = Metrics("tend_log")
    endpoint = serve_metrics(metrics, settings.metrics)
    figures: dict[str, Any] = {}
    over = threading.Event()

    def beat() -> None:
        """Write the status file during a long run, so that the program does not look dead."""
        while True:
            status.write({"ready": follow_s > 0, **figures}, now_s=clock.now_s())
            if over.wait(STATUS_S):
                return

    beating = threading.Thread(target=beat, daemon=True)
    beating.start()
    try:
        while True:
            began_s = time.monotonic()
            done = events.tend(keep_s=settings.scoring.idle_horizon_s, min_appends=MIN_APPENDS if follow_s else 1)
            seconds = time.monotonic() - began_s
            figures = {"seconds": round(seconds, 3), **asdict(done)}
            size = measure_event_log(settings)
            metrics.set("mmrec_log_sequence", events.sequence())
            metrics.set("mmrec_log_files", size.num_files)
            metrics.set("mmrec_log_bytes", size.num_bytes)
            if done.events.num_rows_written or done.served.num_rows_written:
                log.info("log_tended", **figures)
            if not follow_s or stop.wait(max(follow_s - seconds, 0.0)):
                return
    finally:
        over.set()
        beating.join()
        endpoint.close()
        status.write({"ready": False, **figures}, now_s=clock.now_s())


def main() -> int:
    """Parse the command line and maintain the log."""
    parser = shell_parser(__doc__)
    parser.add_argument(
        "--follow", type=argument(NotNegative), default=0.0, metavar="SECONDS", help="keep going, with this pause"
    )
    arguments = parser.parse_args()
    configure_logging()
    stop = stop_on_signals()
    return exit_status(
        log, "tend_log", lambda: run(settings_from(arguments.config), follow_s=arguments.follow, stop=stop)
    )


if __name__ == "__main__":
    sys.exit(main())
