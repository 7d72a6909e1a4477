"""How a program of jobs/, services/ or feature_repo/ begins and ends: one command line, one log, one way to fail.

arguments = shell_parser(__doc__).parse_args()
return exit_status(log, "tend_log", lambda: run(settings_from(arguments.config), stop=stop_on_signals()))
"""

import argparse
import asyncio
import signal
import threading
from collections.abc import Awaitable, Callable

from mmrec.errors import MmrecError
from mmrec.telemetry.logs import Logger

FAILED = 1


def shell_parser(description: str | None) -> argparse.ArgumentParser:
    """A parser that has `--config`; the description keeps its lines."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", metavar="FILE", help="TOML file (default: the one that MMREC_CONFIG names)")
    return parser


def stop_on_signals() -> threading.Event:
    """An event that SIGTERM and SIGINT set. To be called from the main thread."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


async def until_signalled(serve: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    """Await `serve` with an event that SIGTERM and SIGINT set, in the running loop."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await serve(stop)


def exit_status(log: Logger, program: str, work: Callable[[], int | None]) -> int:
    """The result of `work`, 0 for None; FAILED where it raises one of our errors, logged as `<program>_failed`."""
    try:
        return work() or 0
    except MmrecError as error:
        log.error(f"{program}_failed", reason=str(error), kind=type(error).__name__)
        return FAILED
