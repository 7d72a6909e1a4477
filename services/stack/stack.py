"""The embedded stack as one object: everything started, supervised, and gone at the end.

with running_stack(home, say=print) as stack:       every program is ready
stack.settings, stack.environment               for jobs run beside it
"""

import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mmrec.config import Settings, load_settings
from mmrec.errors import MachineError
from mmrec.home import StackHome
from services.stack.configuration import choose_ports, read_document, write_configuration
from services.stack.guard import end_processes, new_stack_id, start_guard
from services.stack.jars import ensure_jars
from services.stack.java import ensure_java_home
from services.stack.machine import check_machine
from services.stack.plan import programs, ray_folder, stack_environment
from services.stack.supervisor import Supervisor

_KEPT = {"stack.lock", "cache"}
"""What a fresh start leaves in the home folder."""


@dataclass(frozen=True, kw_only=True)
class Stack:
    """A running stack."""

    home: StackHome
    settings: Settings
    environment: dict[str, str]
    """Variables for jobs that run beside the stack: configuration, Java, jars, Ray's address and token."""
    supervisor: Supervisor
    stack_id: str

    def wait_ready(self, *names: str, timeout_s: float = 300.0) -> None:
        """Wait until the named programs (all, where none is named) are ready; MachineError where one fails."""
        self.supervisor.wait_ready(names, timeout_s=timeout_s)


@contextmanager
def running_stack(
    home: StackHome,
    *,
    config: Path | None = None,
    fresh: bool = False,
    say: Callable[[str], None] = lambda line: None,
    on_ready: Callable[[str, float], None] = lambda name, seconds: None,
    wait: bool = True,
    extra_document: dict[str, dict[str, object]] | None = None,
) -> Iterator[Stack]:
    """Start a stack in `home` and end it with the block.

    Args:
        config: The user's TOML file.
        fresh: Begin with empty stores.
        say: Told one line about everything a person should know.
        on_ready: Called with a program's name and the seconds it took.
        wait: Enter the block once all programs are ready; else at once, to use `Stack.wait_ready`.
        extra_document: Tables laid over the user's configuration.

    Raises:
        MachineError: the machine lacks something, a stack already runs in `home`, or a program does not start.
        ConfigurationError: the configuration cannot be used.
    """
    home.folder.mkdir(parents=True, exist_ok=True)
    with home.lock.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            message = f"a stack already runs in {home.folder}; `mmrec down` ends it, MMREC_HOME names another folder"
            raise MachineError(message) from None
        end_earlier(home, say=say)
        check_machine(home.folder)
        document = read_document(config)
        if fresh:
            empty(home.folder)
        for table, values in (extra_document or {}).items():
            document[table] = {**document.get(table, {}), **values}
        ports = choose_ports(document, say=say)
        write_configuration(home.config, document, ports, folder=(config.parent if config else home.folder).resolve())
        settings = load_settings(home.config)
        java_home = ensure_java_home()
        jars = ensure_jars(java_home)
        _write_token(home.folder / "ray_token")
        environment = stack_environment(home, ports, java_home=java_home, spark_jars=jars.spark)
        stack_id = new_stack_id()
        guard = start_guard(stack_id)
        supervisor = Supervisor(
            programs(settings, home, ports, stack_id=stack_id),
            stack_id=stack_id,
            environment=environment,
            home=home,
            facts={"environment": environment, "ray_folder": str(ray_folder(stack_id))},
            on_ready=on_ready,
        )
        supervisor.start()
        try:
            if wait:
                supervisor.wait_ready()
            yield Stack(home=home, settings=settings, environment=environment, supervisor=supervisor, stack_id=stack_id)
        finally:
            supervisor.stop()
            assert guard.stdin is not None, "the guard is started with a pipe"
            guard.stdin.close()
            guard.wait(20)
            shutil.rmtree(ray_folder(stack_id), ignore_errors=True)


def end_earlier(home: StackHome, *, say: Callable[[str], None]) -> None:
    """End what is left of a stack that was killed; its lock is free, so nobody watches it any more."""
    try:
        record = json.loads(home.record.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return
    num_ended = end_processes(str(record.get("stack_id", "")))
    say(f"an earlier stack in {home.folder} was killed; {num_ended} of its processes were still there and are ended")
    if folder := record.get("ray_folder"):
        shutil.rmtree(folder, ignore_errors=True)
    home.record.unlink(missing_ok=True)


def empty(folder: Path) -> None:
    """Remove a home's state."""
    for path in folder.iterdir():
        if path.name not in _KEPT:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def _write_token(path: Path) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_hex(32))
