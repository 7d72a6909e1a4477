"""The whole way on real parts: from a catalogue and a history to a list that three clicks on Kafka change.

python -m services.stack.demo [--dataset storefront|movielens]

Writes demo.json and demo.html into the stack's home folder, and stops everything it started.
"""

import argparse
import os
import sys
import time
from pathlib import Path

from mmrec.catalog.item import to_json_value
from mmrec.client import RecommenderClient
from mmrec.demo.ledger import Ledger
from mmrec.demo.live import measure_live
from mmrec.demo.page import ShownItem, render_page
from mmrec.demo.report import DemoFacts, as_lines, as_rows, write_document
from mmrec.demo.steps import Steps
from mmrec.demo.world import DemoWorld, movielens_world, refused_records, storefront_world
from mmrec.errors import MmrecError
from mmrec.home import StackHome
from mmrec.telemetry import configure_logging
from mmrec.wiring import open_feature_store, open_producer, open_release_store
from services.stack.jobs import run_job
from services.stack.stack import Stack, running_stack

NUM_STEPS = 10
WAIT_S = 300.0


def main() -> int:
    """Run the demo; one line where something is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", choices=("storefront", "movielens"), default="storefront")
    arguments = parser.parse_args()
    configure_logging(level="ERROR")
    home = StackHome.from_environment()
    steps = Steps(num_steps=NUM_STEPS, tell=_say)
    try:
        if arguments.dataset == "storefront":
            world = storefront_world(time.time())
        else:
            data_folder = os.environ.get("MMREC_DATA_DIR") or str(Path("..") / "shared" / "data")
            world = movielens_world(time.time(), data_folder=data_folder)
        _run(world, home, steps)
    except MmrecError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _run(world: DemoWorld, home: StackHome, steps: Steps) -> None:
    with steps.step("plan the stack"):
        stack_context = running_stack(
            home, fresh=True, say=_say, wait=False, extra_document=world.configuration, held=("encode_items",)
        )
    with stack_context as stack:
        facts = _journey(world, stack, steps)
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
    for line in (
        "",
        *as_lines(facts),
        "",
        f"facts: {home.folder / 'demo.json'}   pictures: {home.folder / 'demo.html'}",
    ):
        _say(line)


def _journey(world: DemoWorld, stack: Stack, steps: Steps) -> DemoFacts:
    settings, topics = stack.settings, stack.settings.kafka
    ledger, folder = Ledger(), stack.home.folder
    with steps.step("start Kafka, create topics, apply the feature views"):
        stack.wait_ready("topics", "features")
    store, producer = open_feature_store(settings), open_producer(settings)
    with steps.step("bring in catalogue and history through Kafka") as said:
        titles: dict[str, ShownItem] = {}
        for item in world.catalog():
            producer.send(topics.catalog_items, item.item_id.encode(), to_json_value(item))
            titles[item.item_id] = ShownItem(item_id=item.item_id, title=item.title, attributes=dict(item.attributes))
        for chunk in world.history():
            producer.send_many(topics.behavior_events, chunk.records)
            ledger.add(chunk.ledger)
        refused = refused_records(
            time.time(), user_id="demo-refused", item_id=next(iter(titles)), behavior=world.click_behavior
        )
        producer.send_many(topics.behavior_events, refused)
        ledger.add_rejected(len(refused))
        said(f"{len(titles)} items, {ledger.counts.produced} events, {len(refused)} of them not acceptable")
    with steps.step("encode content: text, images, attributes"):
        stack.wait_ready("ray", "milvus")
        run_job(stack, "jobs.encode_items", tell=_say)
        stack.supervisor.release("encode_items")
    with steps.step("score the history: Kafka -> Spark -> log -> Feast") as said:
        counts = _wait_for_stream(lambda: (store.read_progress() or _NOTHING).counts, ledger.counts.produced)
        said(", ".join(f"{number} {name}" for name, number in sorted(counts.items())))
    with steps.step("build training examples, strictly from before each label"):
        run_job(stack, "jobs.build_examples", "--out", str(folder / "examples"), tell=_say)
    with steps.step("train towers and ranker with Ray Train"):
        run_job(stack, "jobs.train", "--examples", str(folder / "examples"), "--out", str(folder / "model"), tell=_say)
    with steps.step("publish a release: vectors to Milvus, gates, promote") as said:
        run_job(stack, "jobs.publish", "--model", str(folder / "model"), tell=_say)
        releases = open_release_store(settings)
        release = releases.read(releases.current())
        said(f"{release.release_id}, {release.num_items} items")
    with RecommenderClient(settings.serving.recommender) as client:
        with steps.step("serve it over gRPC, stream live events and ask before each") as said:
            stack.wait_ready()
            _wait(lambda: client.recommend("").release_id == release.release_id, "the recommender to serve the release")
            live = measure_live(
                world,
                client,
                ledger=ledger,
                send=lambda record: producer.send(topics.behavior_events, *record).add_done_callback(
                    lambda f: f.result()
                ),
            )
            said(f"{live.num_events} lists asked; HR@10 {live.hr_at_10:.3f}, popularity {live.hr_at_10_popularity:.3f}")
        ...
