"""The steps of a demo on a running stack, in their order."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from mmrec.catalog.item import to_json_value
from mmrec.client import RecommenderClient
from mmrec.demo.journey import Journey, choose_user, click_chooser, click_events, run_journey
from mmrec.demo.ledger import Exactness, Ledger, compare_profiles, wait_for_stream
from mmrec.demo.live import measure_live
from mmrec.demo.page import ShownItem
from mmrec.demo.report import DemoFacts
from mmrec.demo.steps import Steps
from mmrec.demo.world import DemoWorld, refused_records
from mmrec.errors import MachineError
from mmrec.evaluation.prequential import PrequentialResult
from mmrec.publishing.release import Release
from mmrec.wiring import open_feature_store, open_producer, open_release_store
from services.stack.embedded import EmbeddedStack
from services.stack.jobs import run_job

STREAM_TIMEOUT_S = 300.0
SERVING_TIMEOUT_S = 60.0


class DemoRun:
    """One demo on one stack."""

    def __init__(self, world: DemoWorld, stack: EmbeddedStack, *, steps: Steps, tell: Callable[[str], None]) -> None:
        self._world, self._stack, self._steps, self._tell = world, stack, steps, tell
        self.ledger = Ledger()
        """What was sent so far."""
        self._titles: dict[str, ShownItem] = {}

    def run(self) -> DemoFacts:
        """Every step after the stack's start."""
        settings = self._stack.settings
        with self._steps.step("start Kafka, create topics, apply the feature views"):
            self._stack.wait_ready("topics", "features")
        self._store, self._producer = open_feature_store(settings), open_producer(settings)
        encoded = self._bring_in()
        self._wait_for_stream("score the history: Kafka, Spark, event log, Feast")
        with self._steps.step("encode content: text, images, attributes (since the catalogue is in)"):
            encoded.result()
        release = self._train_and_publish()
        with RecommenderClient(settings.serving.recommender) as client:
            live = self._serve_live(client, release)
            self._wait_for_stream("score what came in live")
            journey = self._click(client)
        counts = wait_for_stream(self._store, self.ledger.counts.produced, timeout_s=STREAM_TIMEOUT_S)
        exactness = self._compare()
        return DemoFacts(
            dataset=self._world.name,
            steps=self._steps.done,
            total_s=self._steps.total_s,
            sent=self.ledger.counts,
            stream_counts=counts,
            exactness=exactness,
            journey=journey,
            live=live,
            split=self._world.split,
            num_items_indexed=release.num_items,
            release_id=release.release_id,
        )

    def _bring_in(self) -> "Future[None]":
        topics = self._stack.settings.kafka
        with self._steps.step("bring in catalogue and history through Kafka") as said:
            items = list(self._world.catalog())
            self._titles = {item.item_id: ShownItem(item_id=item.item_id, title=item.title) for item in items}
            self._producer.send_many(topics.catalog_items, ((i.item_id.encode(), to_json_value(i)) for i in items))
            # Beside the history. Where that fails, the stack's end is the job's, so nobody waits for it.
            encoded = ThreadPoolExecutor(max_workers=1).submit(self._encode)
            for chunk in self._world.history():
                self._producer.send_many(topics.behavior_events, chunk.records)
                self.ledger.add(chunk.ledger)
            refused = refused_records(
                time.time(), user_id="demo-refused", item_id=items[0].item_id, behavior=self._world.click_behavior
            )
            self._producer.send_many(topics.behavior_events, refused)
            self.ledger.add_rejected(len(refused))
            said(f"{len(items)} items, {self.ledger.counts.produced} events ({len(refused)} of them broken on purpose)")
        return encoded

    def _encode(self) -> None:
        self._stack.wait_ready("ray", "milvus")
        run_job(self._stack, "jobs.encode_items", tell=self._tell)
        self._stack.supervisor.release("encode_items")

    def _train_and_publish(self) -> Release:
        folder = self._stack.home.folder
        examples, model = str(folder / "examples"), str(folder / "model")
        with self._steps.step("build training examples, each from before its label"):
            run_job(self._stack, "jobs.build_examples", "--out", examples, tell=self._tell)
        with self._steps.step("train towers and ranker with Ray Train"):
            run_job(self._stack, "jobs.train", "--examples", examples, "--out", model, tell=self._tell)
        with self._steps.step("publish a release: vectors to Milvus, gates, promote") as said:
            run_job(self._stack, "jobs.publish", "--model", model, tell=self._tell)
            releases = open_release_store(self._stack.settings)
            release = releases.read(releases.current())
            said(f"{release.release_id}, {release.num_items} items")
        return release

    def _serve_live(self, client: RecommenderClient, release: Release) -> PrequentialResult:
        with self._steps.step("serve over gRPC; stream live events, ask for the list before each") as said:
            self._stack.wait_ready()
            until_s = time.monotonic() + SERVING_TIMEOUT_S
            while client.recommend("nobody").release_id != release.release_id:
                if time.monotonic() > until_s:
                    raise MachineError(f"the recommender did not take up {release.release_id} in {SERVING_TIMEOUT_S} s")
                time.sleep(0.1)
            topic = self._stack.settings.kafka.behavior_events
            live = measure_live(
                self._world, client, ledger=self.ledger, send=lambda record: self._producer.send(topic, *record)
            )
            self._producer.flush()
            said(f"{live.num_events} lists: HR@10 {live.hr_at_10:.3f}, popularity {live.hr_at_10_popularity:.3f}")
        return live

    def _click(self, client: RecommenderClient) -> Journey:
        settings = self._stack.settings
        with self._steps.step("one user: the list, three clicks through Kafka, the list again") as said:
            user_id = choose_user(self.ledger.events)

            def send(item_ids: Sequence[str]) -> None:
                now_s, behavior = time.time(), self._world.click_behavior
                records, noted = click_events(user_id, item_ids, behavior=behavior, now_s=now_s)
                self._producer.send_many(settings.kafka.behavior_events, records)
                self.ledger.add(noted)

            choose = click_chooser(client, self.ledger.events, user_id=user_id, items=self._titles)
            journey = run_journey(client, user_id=user_id, clicks=choose, send=send)
            said(f"user {user_id}, list changed after {journey.freshness_s:.2f} s")
        return journey

    def _wait_for_stream(self, step: str) -> None:
        with self._steps.step(step) as said:
            counts = wait_for_stream(self._store, self.ledger.counts.produced, timeout_s=STREAM_TIMEOUT_S)
            said(", ".join(f"{number} {name}" for name, number in counts.document().items()))

    def _compare(self) -> Exactness:
        with self._steps.step("compare every profile with the plain sum over what was sent") as said:
            as_of_s = max(time.time(), self.ledger.newest_event_time_s)
            exactness = compare_profiles(
                self.ledger, self._store, scoring=self._stack.settings.scoring, as_of_s=as_of_s
            )
            said(f"largest relative error {exactness.max_relative_error:.1e}")
        return exactness
