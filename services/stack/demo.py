"""The whole way on real parts: from a catalogue and a history to a list that three clicks on Kafka change.

python -m services.stack.demo [--dataset storefront|movielens] [--fresh]

Begins with empty stores: what an earlier demo left in the home folder is removed, anything else only with --fresh.
Writes demo.json and demo.html into the home folder, and stops everything it started.
"""

import argparse
import signal
import sys
import time
from pathlib import Path

from mmrec.demo.page import render_page
from mmrec.demo.report import as_document, as_lines, as_rows, write_document
from mmrec.demo.stated import comparison, read_stated
from mmrec.demo.steps import Steps
from mmrec.demo.world import DemoWorld, movielens_world, storefront_world
from mmrec.errors import MmrecError
from mmrec.home import StackHome, data_folder
from mmrec.state.home_world import may_empty
from mmrec.telemetry.logs import configure_logging
from services.stack.demo_steps import DemoRun
from services.stack.embedded import EmbeddedStack

NUM_STEPS = 11
STATED = Path(__file__).resolve().parents[2] / "tests" / "benchmarks" / "results"
"""Committed receipts, where the demo runs from a checkout."""


def main() -> int:
    """Run the demo; one line where something is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", choices=("storefront", "movielens"), default="storefront")
    parser.add_argument("--fresh", action="store_true", help="empty the home folder, whatever it keeps")
    arguments = parser.parse_args()
    home = StackHome.from_environment()
    configure_logging(level="ERROR")
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        if not arguments.fresh and (line := may_empty(home, command=f"mmrec demo --dataset {arguments.dataset}")):
            _say(line)
        if arguments.dataset == "movielens":
            world = movielens_world(time.time(), data_folder=data_folder())
        else:
            world = storefront_world(time.time())
        _run(world, home)
    except MmrecError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 1
    except KeyboardInterrupt:
        _say("stopped")
        return 130
    return 0


def _run(world: DemoWorld, home: StackHome) -> None:
    steps = Steps(num_steps=NUM_STEPS, tell=_say)
    stack = EmbeddedStack(
        home,
        tables=world.configuration,
        fresh=True,
        held=("encode_items",),
        say=_say,
        dataset=world.identity,
        made_by="demo",
    )
    stack.start()
    try:
        facts = DemoRun(world, stack, steps=steps, tell=_say).run()
    finally:
        _say("stopping what was started ...")
        stack.stop()
    write_document(facts, home.folder / "demo.json")
    pictures = {item.item_id: item.image for item in world.catalog()}
    page = render_page(
        user_id=facts.journey.user_id,
        before=facts.journey.before,
        clicks=facts.journey.clicks,
        after=facts.journey.after,
        facts=as_rows(facts),
        image_of=pictures.get,
    )
    (home.folder / "demo.html").write_text(page, encoding="utf-8")
    stated = read_stated(STATED / f"demo_{facts.dataset}.json")
    written = f"facts {home.folder / 'demo.json'}, pictures {home.folder / 'demo.html'}"
    for line in ("", *as_lines(facts), "", comparison(as_document(facts), stated), written):
        _say(line)


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
