"""The part of the stack that a stream needs, supervised as `mmrec up` does it: broker, collector, stream, Redis.

with ChaosStack(folder, store="sqlite") as stack:
    stack.pids("driver"); stack.copy_store(copy); stack.restore_store(copy)

Everything it started is gone at the end, kill -9 of this process included: the stack's guard sees to it.
"""

import os
import shutil
import signal
import sqlite3
import time
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
from redis import Redis

from mmrec.config import load_settings
from mmrec.errors import StoreError
from mmrec.home import StackHome
from mmrec.stores.sqlite.writer_lock import take_writer_lock
from services.stack.configuration import StackPorts, write_configuration
from services.stack.guard import new_stack_id, processes_of, start_guard
from services.stack.jars import ensure_jars
from services.stack.java import ensure_java_home
from services.stack.plan import programs, stack_environment
from services.stack.ports import HOST, is_free, next_free
from services.stack.program import Patience, Program
from services.stack.supervisor import Supervisor
from tests.redis_server import redis_command

OLDER_STORE = "older store"
"""The kind of victim that is an online store: an earlier copy takes its place."""
FIRST_PORT = 23_000
"""Below the ports that the system gives to clients, which would take a broker's port while it is down."""
FIRST_REDIS_PORT = 23_500
PROGRAM_OF = {
    "broker": "kafka",
    "driver": "score_stream",
    "jvm": "score_stream",
    "worker": "score_stream",
    "collector": "collector",
    OLDER_STORE: "score_stream",
}
"""Which supervised program a victim belongs to."""
PATIENCE = Patience(first_pause_s=0.5, longest_pause_s=2.0, attempts=10)


class ChaosStack:
    """Broker, topics, features, collector and stream in one folder."""

    def __init__(self, folder: Path, *, store: str, scoring: dict[str, Any]) -> None:
        """Nothing is started yet.

        Args:
            store: "sqlite" or "redis".
            scoring: The [scoring] table.
        """
        self.home = StackHome(folder=folder)
        self.home.folder.mkdir(parents=True, exist_ok=True)
        self._ending = ExitStack()
        self._ports = _ports()
        self._store = store
        stores, self._extra_programs = _online_store(store, folder.resolve())
        document = {"scoring": scoring, "stores": {**stores, "status": str(self.home.status)}}
        write_configuration(self.home.config, document, self._ports, folder=folder.resolve())
        self.settings = load_settings(self.home.config)

    def __enter__(self) -> "ChaosStack":
        with ExitStack() as undo:
            self._begin(undo)
            self._ending = undo.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.close()

    def pids(self, victim: str) -> list[int]:
        """Processes that a kill of this kind may hit; none while there are none."""
        program = self.supervisor.children[PROGRAM_OF[victim]]
        if victim in ("broker", "driver", "collector"):
            return [program.pid] if _is_alive(program.pid) else []
        found = []
        for pid in processes_of(self._stack_id, program=PROGRAM_OF[victim]):
            with suppress(psutil.Error):
                process = psutil.Process(pid)
                line, parent = " ".join(process.cmdline()), process.parent()
                if victim == "jvm" and "SparkSubmit" in line:
                    found.append(pid)
                if victim == "worker" and "pyspark.daemon" in line and parent is not None:
                    # Workers are forks of the daemon and look like it.
                    found += [pid] if "pyspark.daemon" in " ".join(parent.cmdline()) else []
        return found

    def is_ready(self, victim: str) -> bool:
        return self.supervisor.children[PROGRAM_OF[victim]].is_ready

    def copy_store(self, target: Path) -> None:
        """A copy of the online store as of one instant, while it is written."""
        if self._store == "redis":
            with closing(Redis.from_url(f"redis://{self.settings.stores.redis_connection}")) as client:
                client.save()
            shutil.copyfile(self._dump, target)
            return
        with closing(sqlite3.connect(self._online_file)) as source, closing(sqlite3.connect(target)) as copy:
            source.backup(copy)

    def restore_store(self, copy: Path) -> None:
        """Put a copy in the store's place, as somebody would who restores a backup in haste.

        On SQLite the writer is killed first; on Redis it runs on, and must see by itself that the server went back.
        """
        if self._store == "redis":
            self._restart_redis(copy)
            return
        for pid in self.pids("driver"):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        arrived = self._online_file.with_suffix(".arrived")
        shutil.copyfile(copy, arrived)
        with self._no_writer():
            for suffix in ("-wal", "-shm"):
                self._online_file.with_name(self._online_file.name + suffix).unlink(missing_ok=True)
            arrived.replace(self._online_file)  # another file: who still reads the old one cannot write into it

    def _restart_redis(self, copy: Path) -> None:
        """Redis comes back with what the copy holds."""
        redis = self.supervisor.children["redis"]
        before = redis.pid
        shutil.copyfile(copy, self._dump)
        os.kill(before, signal.SIGKILL)  # it saves nothing then
        while redis.pid == before or not redis.is_ready:
            time.sleep(0.02)

    @property
    def _dump(self) -> Path:
        return self.home.folder.resolve() / "dump.rdb"

    @property
    def _online_file(self) -> Path:
        return Path(self.settings.stores.feature_repo) / "online.db"

    def _no_writer(self) -> Any:
        while True:
            try:
                return closing(take_writer_lock(Path(self.settings.stores.feature_repo)))
            except StoreError:
                time.sleep(0.02)

    def _begin(self, undo: ExitStack) -> None:
        java_home = ensure_java_home()
        jars = ensure_jars(java_home)
        self._stack_id = new_stack_id()
        guard = start_guard(self._stack_id)
        undo.callback(guard.communicate)
        self.supervisor = Supervisor(
            [*self._extra_programs, *_planned(self.settings, self.home, self._ports, self._stack_id)],
            stack_id=self._stack_id,
            environment=stack_environment(self.home, self._ports, java_home=java_home, spark_jars=jars.spark),
            home=self.home,
            patience=PATIENCE,
        )
        self.supervisor.start()
        undo.callback(self.supervisor.stop)
        self.supervisor.wait_ready(timeout_s=480)


def _online_store(name: str, folder: Path) -> tuple[dict[str, str], list[Program]]:
    """Settings and programs."""
    if name == "sqlite":
        return {"online_store": "sqlite"}, []
    if name != "redis":
        raise ValueError(f"no chaos with the online store {name!r}; known: sqlite, redis")
    port = next_free(FIRST_REDIS_PORT)
    server = Program(name="redis", command=tuple(redis_command(port, folder)), port=port)
    return {"online_store": "redis", "redis_connection": f"{HOST}:{port}"}, [server]


def _is_alive(pid: int) -> bool:
    """Whether a process runs that the supervisor has not seen ending yet."""
    try:
        return pid > 0 and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _planned(settings: Any, home: StackHome, ports: StackPorts, stack_id: str) -> list[Program]:
    """The stack's own programs, as far as a stream needs them; none is nice, since nothing else runs."""
    wanted = ("kafka", "topics", "features", "score_stream", "collector")
    planned = programs(settings, home, ports, stack_id=stack_id)
    mine = [replace(program, niceness=0) for program in planned if program.name in wanted]
    if settings.stores.online_store != "redis":
        return mine
    return [replace(p, after=(*p.after, "redis")) if p.name == "features" else p for p in mine]


def _ports() -> StackPorts:
    port, found = FIRST_PORT, []
    while len(found) < 4:
        if is_free(port) and is_free(port + 1):
            found.append(port)
        port += 2
    kafka, collector, unused, ray = found
    return StackPorts(
        kafka=kafka,
        collector=collector,
        milvus=unused,
        recommender=unused + 1,
        admin=unused + 2,
        console=unused + 3,
        ray=ray,
    )
