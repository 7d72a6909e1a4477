"""Warm refits: the release that serves goes on with what was done since, and serves if it passes its gates.

    python -m jobs.refit --config mmrec.toml                 once
    python -m jobs.refit --config mmrec.toml --follow        as often as [training.refit] says, until SIGTERM or Ctrl-C

Examples of the newest days, the recipe "refit" (mmrec.training.warm_refit), a release that says what it went on from.
The status file says what became of the last one, and why. Prints one JSON line; exit status 3 where a gate was missed.
"""

import json
import sys
import tempfile
import threading
import time
from argparse import Namespace
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from jobs.build_examples import run as build_examples
from jobs.publish import GATE_MISSED, publish_model
from mmrec.clock import SystemClock
from mmrec.config import Settings
from mmrec.errors import DeadlineError, MmrecError, PreconditionError, ReleaseGateError, SettingError
from mmrec.programs.shell import exit_status, shell_parser, stop_on_signals
from mmrec.telemetry.logs import StatusFile, configure_logging, get_logger
from mmrec.telemetry.metrics import Metrics
from mmrec.telemetry.metrics_endpoint import serve_metrics
from mmrec.training.recipe import chosen_options, train_here
from mmrec.training.refit_recipe import REFIT, RefitOptions
from mmrec.training.run import use_threads
from mmrec.wire.declared import AtLeastOne, argument
from mmrec.wiring import open_deployment_data, open_release_store, settings_from

OUTCOMES: Final[Mapping[type[MmrecError], str]] = {
    ReleaseGateError: "refused",
    PreconditionError: "left_out",
    DeadlineError: "late",
}
"""What an error makes of a refit; "failed" where it is another one."""
STATUS_S = 5.0

log = get_logger("jobs.refit")


def refit(settings: Settings, options: RefitOptions) -> dict[str, Any]:
    """One refit from the log to the release; returns what became of it.

    Raises:
        PreconditionError: no release serves, or too little was done since.
        ReleaseGateError: a gate was missed; the release is kept with what the gate said.
        DeadlineError: it took too long.
        MmrecError: an engine failed, or the served model cannot go on.
    """
    releases = open_release_store(settings)
    if not (served := releases.current()):
        raise PreconditionError("no release serves that could be refitted; train and publish one")
    with tempfile.TemporaryDirectory(prefix="mmrec_refit_") as folder:
        examples, out = Path(folder) / "examples", Path(folder) / "model"
        build_examples(settings.config_file, examples, options.example_config)
        asked = replace(options, examples=str(examples), model=str(releases.model_folder(served)), warm_from=served)
        train_here(REFIT, asked, open_deployment_data(settings), out=out, tell=log.info)
        release = publish_model(settings, releases, out)
    return {"release_id": release.release_id, "warm_from": served, "ndcg_at_10": release.metrics.get("ndcg_at_10")}


def tried(settings: Settings, options: RefitOptions) -> dict[str, Any]:
    """What became of one refit, whatever happens: outcome, seconds, and why where it does not serve."""
    began_s, found = time.monotonic(), dict[str, Any]()
    try:
        found = {"outcome": "promoted", **refit(settings, options)}
    except MmrecError as error:
        outcome = next((name for kind, name in OUTCOMES.items() if isinstance(error, kind)), "failed")
        found = {"outcome": outcome, "reason": str(error)}
    found["seconds"] = round(time.monotonic() - began_s, 1)
    (log.info if found["outcome"] in ("promoted", "left_out") else log.error)("refit_ended", **found)
    return found


def follow(settings: Settings, options: RefitOptions, *, stop: threading.Event) -> None:
    """A refit every so many minutes, until `stop`.

    Raises:
        SettingError: there are none.
    """
    if not options.every_minutes:
        raise SettingError(("training", "refit", "every_minutes"), "is 0: no refits; give minutes, such as 10")
    clock, counts = SystemClock(), Counter[str]()
    status, metrics = StatusFile(settings.stores.status, "refit"), Metrics("refit")
    endpoint = serve_metrics(metrics, settings.metrics)
    figures: dict[str, Any] = {}
    over = threading.Event()

    def beat() -> None:
        """Write the status file during a refit, so that the program does not look dead."""
        while True:
            status.write({"ready": True, "counts": dict(counts), **figures}, now_s=clock.now_s())
            if over.wait(STATUS_S):
                return

    beating = threading.Thread(target=beat, daemon=True)
    beating.start()
    try:
        while not stop.wait(max(60.0 * options.every_minutes - figures.get("seconds", 0.0), 0.0)):
            figures = tried(settings, options)
            counts[figures["outcome"]] += 1
            metrics.add("mmrec_refits_total", outcome=figures["outcome"])
            metrics.set("mmrec_refit_seconds", figures["seconds"])
    finally:
        over.set()
        beating.join()
        endpoint.close()
        status.write({"ready": False, "counts": dict(counts), **figures}, now_s=clock.now_s())


def run(asked: Namespace, stop: threading.Event) -> int:
    """As the command line says."""
    settings = settings_from(asked.config)
    options = chosen_options(REFIT, settings, asked)
    use_threads(asked.num_threads)
    if asked.follow:
        follow(settings, options, stop=stop)
        return 0
    found = tried(settings, options)
    print(json.dumps(found), flush=True)  # noqa: T201
    return {"promoted": 0, "left_out": 0, "refused": GATE_MISSED}.get(found["outcome"], 1)


def main() -> int:
    """Parse the command line and refit."""
    parser = shell_parser(__doc__)
    parser.add_argument("--follow", action="store_true", help="keep going until SIGTERM or Ctrl-C")
    parser.add_argument("--num-threads", type=argument(AtLeastOne), default=1)
    asked = parser.parse_args()
    configure_logging()
    stop = stop_on_signals()
    return exit_status(log, "refit", lambda: run(asked, stop))


if __name__ == "__main__":
    sys.exit(main())
