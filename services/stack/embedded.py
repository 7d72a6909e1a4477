"""The embedded stack as one object: everything started, supervised, and gone at the end.

    with EmbeddedStack(home, say=print) as stack:       every program is ready
        stack.settings, stack.environment               for jobs run beside it

`start()`, `wait_ready("kafka")` and `stop()` are there for those who work while it starts.
"""

import os
import secrets
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from mmrec.config import Settings, load_settings
from mmrec.home import StackHome
from mmrec.state.home_world import keep
from services.stack.configuration import choose_ports, read_document, write_configuration
from services.stack.guard import new_stack_id, start_guard
from services.stack.home_met import meet_home
from services.stack.jars import ensure_jars
from services.stack.java import ensure_java_home
from services.stack.machine import check_machine
from services.stack.occupancy import empty, end_earlier, hold
from services.stack.plan import programs, stack_environment, temporary_folders
from services.stack.supervisor import Supervisor


class EmbeddedStack:
    """One stack in one home folder. As a context manager it is started and awaited at entry, stopped at exit."""

    def __init__(
        self,
        home: StackHome,
        *,
        config: Path | None = None,
        tables: Mapping[str, Any] | None = None,
        fresh: bool = False,
        dataset: str = "",
        made_by: str = "up",
        held: Iterable[str] = (),
        say: Callable[[str], None] = lambda line: None,
        on_ready: Callable[[str, float], None] = lambda name, seconds: None,
    ) -> None:
        """Nothing is started yet.

        Args:
            config: The user's TOML file.
            tables: Tables laid over it, e.g. {"scoring": {"max_items": 0}}.
            fresh: Begin with empty stores.
            dataset: Data set that the configuration is meant for; empty for any.
            made_by: Who begins a new home, "up" or "demo".
            held: Programs that wait until `supervisor.release(name)`.
            say: Told one line about everything a person should know.
            on_ready: Called with a program's name and the seconds it took, each time it becomes ready.
        """
        self.home = home
        self.environment: dict[str, str] = {}
        """Variables for jobs run beside the stack: configuration, Java, jars, Ray's address and token."""
        self._config, self._extra, self._fresh = config, tables or {}, fresh
        self._dataset, self._made_by = dataset, made_by
        self._held, self._say, self._on_ready = tuple(held), say, on_ready
        self._ending = ExitStack()

    def start(self) -> Path:
        """Begin to start all programs; the configuration file they run with.

        Raises:
            MachineError: the machine lacks something, or a stack already runs in this home.
            ConfigurationError: the configuration cannot be used, or the home keeps the state of another one.
            IncompatibleStateError: the home's record cannot be read.
        """
        with ExitStack() as undo:
            self._begin(undo)
            self._ending = undo.pop_all()
        return self.home.config

    def wait_ready(self, *names: str, timeout_s: float = 300.0) -> None:
        """Wait until the named programs (all, where none is named) are ready; MachineError where one fails."""
        self.supervisor.wait_ready(names, timeout_s=timeout_s)

    def stop(self) -> None:
        """End everything the stack started; again is harmless."""
        self._ending.close()

    def __enter__(self) -> "EmbeddedStack":
        self.start()
        try:
            self.wait_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _begin(self, undo: ExitStack) -> None:
        home, self.stack_id = self.home, new_stack_id()
        document = read_document(self._config)
        for table, values in self._extra.items():
            document[table] = {**document.get(table, {}), **values} if isinstance(values, Mapping) else values
        home.folder.mkdir(parents=True, exist_ok=True)
        undo.callback(hold(home).close)
        folder = (self._config.parent if self._config else home.folder).resolve()
        named: dict[str, Any] = {"config": self._config, "dataset": self._dataset, "made_by": self._made_by}
        asked, met = meet_home(home, document, folder=folder, fresh=self._fresh, say=self._say, **named)
        end_earlier(home, say=self._say)
        check_machine(home.folder)
        if self._fresh:
            empty(home.folder)
        java_home = ensure_java_home()
        jars = ensure_jars(java_home)
        ports = choose_ports(document, say=self._say)
        # The supervisor looks there, wherever the user's file keeps the rest.
        document["stores"] = {**document.get("stores", {}), "status": str(home.status)}
        keep(home, asked, met)
        write_configuration(home.config, document, ports, folder=folder)
        self.settings: Settings = load_settings(home.config)
        self.environment = stack_environment(home, ports, java_home=java_home, spark_jars=jars.spark)
        _write_token(home.folder / "ray_token")
        planned = programs(self.settings, home, ports, stack_id=self.stack_id)
        folders = temporary_folders(planned, self.stack_id)
        guard = start_guard(self.stack_id, folders=folders)
        undo.callback(guard.communicate)
        self.supervisor = Supervisor(
            planned,
            stack_id=self.stack_id,
            environment=self.environment,
            home=home,
            facts={"environment": self.environment, "temporary_folders": list(map(str, folders))},
            on_ready=self._on_ready,
            held=self._held,
        )
        self.supervisor.start()
        undo.callback(self.supervisor.stop)


def _write_token(path: Path) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_hex(32))
