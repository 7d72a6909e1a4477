"""Run the embedded stack in the foreground until Ctrl-C.

python -m services.stack [--config mmrec.toml] [--fresh] [--dataset NAME]
"""

import argparse
import signal
import sys
import threading
import time
from pathlib import Path

from mmrec.errors import MmrecError
from mmrec.home import StackHome
from mmrec.telemetry.logs import configure_logging
from services.stack.embedded import EmbeddedStack


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201


def main() -> int:
    """Start, report, wait for the end."""
    parser = argparse.ArgumentParser(prog="services.stack", description="Run the embedded stack until Ctrl-C.")
    parser.add_argument("--config", type=Path, help="settings that differ from the defaults")
    parser.add_argument("--fresh", action="store_true", help="begin with empty stores")
    parser.add_argument("--dataset", default="", help="data set that the configuration is meant for")
    arguments = parser.parse_args()
    configure_logging(level="WARNING")
    ending = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: _interrupt(ending))
    home, begun_s = StackHome.from_environment(), time.monotonic()
    try:
        with EmbeddedStack(
            home,
            config=arguments.config,
            fresh=arguments.fresh,
            dataset=arguments.dataset,
            say=_say,
            on_ready=lambda name, seconds: _say(f"  {name:<16} ready after {seconds:5.1f} s"),
        ) as stack:
            serving = stack.settings.serving
            _say(f"up after {time.monotonic() - begun_s:.1f} s: recommender {serving.recommender}")
            _say(f"collector {serving.collector}, administration {serving.admin}")
            _say(f"Kafka {stack.settings.kafka.bootstrap}")
            _say(f"state and logs in {home.folder}")
            _say("Ctrl-C ends everything")
            _say(f"console http://{stack.settings.console.address}/")
            ending.wait()
    except KeyboardInterrupt:
        pass
    except MmrecError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 1
    _say("down")
    return 0


def _interrupt(ending: threading.Event) -> None:
    """The first signal ends the wait, wherever it is; further ones change nothing."""
    if not ending.is_set():
        ending.set()
        raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
