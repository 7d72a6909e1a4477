"""Acts of a rehearsal: one thing happens to the stack under load, and it is watched until all works again.

A way has recovered when an event that was handed over after the deed has gone it: acknowledged by the brokers, by a
collector, stored in its profile.
"""

import os
import signal
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from services.stack.child import Child
from tests.benchmarks.chaos_stream_kills import StoreWatch
from tests.benchmarks.chaos_stream_load import Load
from tests.oracle import Oracle, new_event
from tests.rehearsal.lists import ListLoad
from tests.rehearsal.shop import Shop
from tests.rehearsal.stack import RehearsalStack

LOOK_S = 0.1
IN_USE = 20
"""So many lists in a row of a release say that every replica uses it."""
NEEDS_LISTS = "this act needs --lists-per-second"
PATIENCE_S = 300.0
"""A way that has not recovered by then is given up, and said so."""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What an act acts on, and what it looks at."""

    stack: RehearsalStack
    load: Load
    oracle: Oracle
    watch: StoreWatch
    say: Callable[[str], None]
    shop: Shop | None = None
    lists: ListLoad | None = None
    """None where nobody asks for lists."""

    def newest_s(self) -> dict[str, float]:
        """By way: when the newest event that went it was handed over."""
        lists = {"lists": self.lists.newest_answered_s} if self.lists is not None else {}
        return {
            **lists,
            "kafka": self.load.kafka.newest_acknowledged_s,
            "collector": self.load.collector.newest_acknowledged_s,
            "stream": self.watch.progress.newest_ingest_time_s,
        }


@dataclass(frozen=True, kw_only=True)
class Performed:
    """What an act did, and what it cost."""

    act: str
    began_s: float
    ended_s: float
    recovery_s: Mapping[str, float | None]
    """By way; None where it did not recover."""
    sent_again: int
    """Events that had to be sent again, because they were not acknowledged."""


def calm(scene: Scene) -> None:
    """Nothing: what the load costs while all is well."""


def broker(scene: Scene) -> None:
    """A broker that leads some partitions is killed; its copies lead on."""
    _kill(scene, "kafka_2")


def redis(scene: Scene) -> None:
    """The server of the profiles is killed, and comes back with what it had appended."""
    _kill(scene, "redis_profiles")


def overlay(scene: Scene) -> None:
    """The server of the overlay is killed; the stream counts what it had."""
    _kill(scene, "redis_overlay")


def spark(scene: Scene) -> None:
    """A machine of Spark's is lost: worker, executor and Python."""
    _kill(scene, "spark_worker_1")


def driver(scene: Scene) -> None:
    """The stream's own process is killed with its JVM; another takes over after its lease."""
    _kill(scene, "score_stream")


def collector(scene: Scene) -> None:
    """A collector is killed; callers go to the other one."""
    _kill(scene, "collector_1")


def certificates(scene: Scene) -> None:
    """The collectors' certificate is renewed in its place: no restart, and the next connection sees the new one."""
    stack = scene.stack
    before = [_shown(stack, number) for number in range(len(stack.collectors))]
    stack.renew_certificates()
    pids = [stack.supervisor.children[f"collector_{n}"].pid for n in range(1, 1 + len(stack.collectors))]
    wanted = Path(stack.certificates.collector.certificate).read_text(encoding="ascii")
    expected = ssl.PEM_cert_to_DER_cert(wanted)
    give_up_s = time.monotonic() + PATIENCE_S
    while any(_shown(stack, number) != expected for number in range(len(stack.collectors))):
        assert time.monotonic() < give_up_s, "a collector still shows the certificate from before"
        time.sleep(LOOK_S)
    assert expected not in before
    assert pids == [stack.supervisor.children[f"collector_{n}"].pid for n in range(1, 1 + len(stack.collectors))]


def journey(scene: Scene) -> None:
    """A stranger asks, puts things into the cart, and asks again: the list is another one within moments."""
    assert scene.lists is not None, NEEDS_LISTS
    assert scene.shop is not None, NEEDS_LISTS
    user, lists = f"stranger-{time.time_ns()}", scene.lists
    before = _items(lists, user)
    assert before, f"no list for {user}"
    chosen = [entry.item_id for entry in scene.shop.world.entries[::97]][:3]
    began_s = time.time()
    events = [new_event(f"{user}-{n}", user, item, "cart", began_s) for n, item in enumerate(chosen)]
    scene.oracle.sent(*events)
    for event in events:
        scene.load.collector.put(event)
    while _items(lists, user) == before:
        assert time.time() < began_s + PATIENCE_S, f"the list of {user} stays as it was"
        time.sleep(LOOK_S)
    scene.say(f"a stranger's list changed {time.time() - began_s:.2f} s after three clicks")


def replica(scene: Scene) -> None:
    """A replica is killed; the other one answers, and Serve starts another."""
    found = scene.stack.replicas()
    assert len(found) > 1, f"{len(found)} replicas run; {NEEDS_LISTS}"
    os.kill(found[0], signal.SIGKILL)
    scene.say(f"killed one of {len(found)} replicas")
    give_up_s = time.monotonic() + PATIENCE_S
    while len(set(scene.stack.replicas()) - {found[0]}) < len(found):
        assert time.monotonic() < give_up_s, "no other replica was started"
        time.sleep(LOOK_S)


def release(scene: Scene) -> None:
    """A new release is promoted; both replicas use it, and no list is empty meanwhile."""
    assert scene.shop is not None, NEEDS_LISTS
    assert scene.lists is not None, NEEDS_LISTS
    release_id, give_up_s = scene.shop.promote(), time.monotonic() + PATIENCE_S
    while {a.release_id for a in scene.lists.answers[-IN_USE:] if not a.has_failed} != {release_id}:
        assert time.monotonic() < give_up_s, f"{release_id} is not in use everywhere"
        time.sleep(LOOK_S)


ACTS: Mapping[str, Callable[[Scene], None]] = {
    act.__name__: act
    for act in (calm, journey, broker, redis, overlay, spark, driver, collector, replica, release, certificates)
}

OF_LISTS = ("journey", "replica", "release")
"""Acts that need a recommender."""


def perform(name: str, scene: Scene, *, least_s: float) -> Performed:
    """One act, until every way has recovered; it lasts `least_s` seconds at least."""
    began_s, again = time.time(), _sent_again(scene)
    ACTS[name](scene)
    done_s = time.time()
    recovery_s: dict[str, float | None] = dict.fromkeys(scene.newest_s())
    while time.time() < done_s + PATIENCE_S and None in recovery_s.values():
        assert not scene.load.failures, scene.load.failures
        for way, newest_s in scene.newest_s().items():
            if recovery_s[way] is None and newest_s > done_s:
                recovery_s[way] = round(time.time() - done_s, 2)
        time.sleep(LOOK_S)
    while time.time() < began_s + least_s or not all(child.is_ready for child in _children(scene)):
        assert time.time() < done_s + PATIENCE_S, [c.program.name for c in _children(scene) if not c.is_ready]
        time.sleep(LOOK_S)
    return Performed(
        act=name,
        began_s=began_s,
        ended_s=time.time(),
        recovery_s=recovery_s,
        sent_again=_sent_again(scene) - again,
    )


def _children(scene: Scene) -> list[Child]:
    return list(scene.stack.supervisor.children.values())


def _sent_again(scene: Scene) -> int:
    return scene.load.kafka.num_sent_again + scene.load.collector.num_sent_again


def _kill(scene: Scene, program: str) -> None:
    number = scene.stack.kill(program)
    assert number, f"nothing runs for {program}"
    scene.say(f"killed {program} ({number} processes)")


def _shown(stack: RehearsalStack, number: int) -> bytes:
    """The certificate that a collector shows to a new connection."""
    made = stack.certificates
    context = ssl.create_default_context(cafile=made.authority.certificate)
    context.load_cert_chain(made.edge_client.certificate, made.edge_client.key)
    context.set_alpn_protocols(["h2"])
    host, _, port = stack.collectors[number].rpartition(":")
    with (
        socket.create_connection((host, int(port)), timeout=5.0) as plain,
        context.wrap_socket(plain, server_hostname=host) as secured,
    ):
        return secured.getpeercert(binary_form=True) or b""


def _items(lists: ListLoad, user: str) -> list[str]:
    """A list; empty where nobody answered."""
    _, found = lists.ask(user, asked_s=time.time())
    return [] if found is None else [item.item_id for item in found.items]
