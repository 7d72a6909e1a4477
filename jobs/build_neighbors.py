"""Build item statistics, popular items and neighbors from the event log into the feature store.

python -m jobs.build_neighbors --config mmrec.toml              once
python -m jobs.build_neighbors --config mmrec.toml --follow     until SIGTERM or Ctrl-C
"""

import sys
import threading
import time

from mmrec.clock import SystemClock
from mmrec.config import Settings
from mmrec.features.schema import GENERATIONS
from mmrec.programs.shell import exit_status, shell_parser, stop_on_signals
from mmrec.recall.item_views import ItemViews
from mmrec.serving.live_weights import LiveWeights
from mmrec.telemetry.logs import StatusFile, configure_logging, get_logger
from mmrec.telemetry.metrics import Metrics
from mmrec.telemetry.metrics_endpoint import serve_metrics
from mmrec.wiring import open_event_log, open_feature_store, settings_from

MAX_BUILD_SHARE = 0.1
"""Share of the time that building neighbors may take."""
STATUS_S = 1.0

log = get_logger("jobs.build_neighbors")


def run(settings: Settings, *, follow: bool, stop: threading.Event) -> ItemViews:
    """Update the views once; with `follow`, keep updating them until `stop`."""
    clock = SystemClock()
    status = StatusFile(settings.stores.status, "build_neighbors")
    store = open_feature_store(settings)
    views = ItemViews(
        open_event_log(settings),
        store,
        behaviors=settings.behaviors,
        settings=settings.statistics,
    )
    metrics = Metrics("build_neighbors")
    endpoint = serve_metrics(metrics, settings.metrics)
    refreshed_s: dict[str, float] = {}
    statistics_due_s = neighbors_due_s = time.monotonic()
    weights = LiveWeights(settings)
    while True:
        views.weigh(weights.behaviors(), now_s=clock.now_s())
        if time.monotonic() >= statistics_due_s:
            done = views.refresh_statistics(now_s=clock.now_s())
            refreshed_s["statistics"] = time.monotonic()
            statistics_due_s = time.monotonic() + settings.statistics.refresh_s
            if done.num_events:
                log.info("statistics_refreshed", **vars(done))
        if time.monotonic() >= neighbors_due_s and views.neighbors_are_due:
            started_s = time.monotonic()
            done = views.refresh_neighbors(now_s=clock.now_s())
            refreshed_s["neighbors"] = time.monotonic()
            build_s = refreshed_s["neighbors"] - started_s
            pause_s = max(settings.statistics.neighbors_refresh_s, build_s / MAX_BUILD_SHARE)
            neighbors_due_s = time.monotonic() + pause_s
            log.info("neighbors_built", seconds=round(build_s, 3), **vars(done))
        for view, time_s in refreshed_s.items():
            metrics.set("mmrec_item_views_age_seconds", time.monotonic() - time_s, view=view)
        metrics.set("mmrec_log_sequence", views.sequence)
        live = store.live_generation()
        for generation in GENERATIONS:
            metrics.set("mmrec_live_generation", generation == live, generation=generation)
        status.write({"ready": follow and not stop.is_set(), **views.figures()}, now_s=clock.now_s())
        if not follow or stop.wait(min(STATUS_S, settings.statistics.refresh_s)):
            break
    endpoint.close()
    status.write({"ready": False, **views.figures()}, now_s=clock.now_s())
    return views


def main() -> int:
    """Parse the command line and build."""
    parser = shell_parser(__doc__)
    parser.add_argument("--follow", action="store_true", help="keep going until SIGTERM or Ctrl-C")
    arguments = parser.parse_args()
    configure_logging()
    stop = stop_on_signals()

    def build() -> None:
        run(settings_from(arguments.config), follow=arguments.follow, stop=stop)

    return exit_status(log, "build_neighbors", build)


if __name__ == "__main__":
    sys.exit(main())
