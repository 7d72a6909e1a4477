"""A Kafka broker without Docker: one Java process in KRaft mode, on the loopback address.

    broker = KafkaBroker(folder=..., port=19092, java_home=..., jars=...)
    broker.start(); broker.bootstrap; broker.stop()

Also as a program that a supervisor runs: `python -m services.stack.kafka_broker --folder DIR --port 19092`.
Settings that are not the broker's defaults have their reason beside them in kafka.properties.
"""

import argparse
import base64
import os
import subprocess
import sys
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mmrec.errors import MachineError, MmrecError
from mmrec.wire.declared import Port, argument
from services.stack.jars import ensure_jars
from services.stack.java import ensure_java_home, java_environment
from services.stack.ports import HOST, wait_open

_PROPERTIES = Path(__file__).with_name("kafka.properties")
_JAVA_OPTIONS = [
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Dlog4j2.level=WARN",
    "-Djava.net.preferIPv4Stack=true",
]


@dataclass(kw_only=True)
class KafkaBroker:
    """One broker and its folder. Data outlive the process; an empty folder is formatted first."""

    folder: Path
    port: int
    """The controller listens on `port` + 1."""
    java_home: Path
    jars: list[Path]
    environment: dict[str, str] = field(default_factory=lambda: dict(os.environ))
    template: Path = _PROPERTIES
    """Its settings, with names in braces: host, port, controller_port, data, and those of `values`."""
    values: Mapping[str, str] = field(default_factory=dict)
    cluster_id: str = ""
    """Brokers of one cluster share it; empty for a new one."""
    format_options: tuple[str, ...] = ()
    """Of Kafka's storage tool, such as logins that are there from the beginning."""
    _process: "subprocess.Popen[bytes] | None" = field(default=None, init=False)

    @property
    def bootstrap(self) -> str:
        """Address for clients."""
        return f"{HOST}:{self.port}"

    @property
    def pid(self) -> int:
        """Process id of the running broker."""
        assert self._process is not None, "the broker has not been started"
        return self._process.pid

    def command(self) -> list[str]:
        """The command that runs the broker in the foreground."""
        return [*self._java("-Xms128m", "-Xmx512m"), "kafka.Kafka", str(self._properties)]

    def prepare(self) -> None:
        """Write the broker's settings and format its folder where that has not been done."""
        data = self.folder / "data"
        data.mkdir(parents=True, exist_ok=True)
        text = self.template.read_text(encoding="utf-8").format(
            host=HOST, port=self.port, controller_port=self.port + 1, data=data, **self.values
        )
        self._properties.write_text(text, encoding="utf-8")
        if (data / "meta.properties").exists():
            return
        tool = [*self._java("-Xmx256m"), "kafka.tools.StorageTool"]
        named = f"--cluster-id={self.cluster_id or new_cluster_id()}"
        command = [*tool, "format", named, "-c", str(self._properties), *self.format_options]
        done = subprocess.run(command, capture_output=True, text=True, env=self._environment(), check=False)
        if done.returncode != 0:
            raise MachineError(f"Kafka could not format {data}: {(done.stderr or done.stdout).strip()[-300:]}")

    def start(self, *, timeout_s: float = 60.0) -> None:
        """Start the broker in its own session and wait until it answers."""
        self.prepare()
        log, command = self.folder / "broker.log", self.command()
        with log.open("ab") as output:
            self._process = process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._environment(),
                start_new_session=True,
            )
        if not wait_open(self.port, timeout_s=timeout_s, alive=lambda: process.poll() is None):
            self.stop()
            raise MachineError(f"the Kafka broker did not open port {self.port} within {timeout_s:.0f} s; see {log}")

    def stop(self, *, timeout_s: float = 10.0) -> None:
        """Stop the broker: asked first, ended after `timeout_s`."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """End the broker at once, as kill -9 would."""
        assert self._process is not None, "the broker has not been started"
        self._process.kill()
        self._process.wait()

    @property
    def _properties(self) -> Path:
        return self.folder / "server.properties"

    def _java(self, *memory: str) -> list[str]:
        classpath = os.pathsep.join(str(jar) for jar in self.jars)
        return [str(self.java_home / "bin" / "java"), *memory, *_JAVA_OPTIONS, "-cp", classpath]

    def _environment(self) -> dict[str, str]:
        return {**self.environment, **java_environment(self.java_home)}


def new_cluster_id() -> str:
    """An id of a cluster, as Kafka writes them."""
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")


def main() -> None:
    """Format, then become the broker."""
    parser = argparse.ArgumentParser(description="An embedded Kafka broker.")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--port", type=argument(Port), required=True)
    arguments = parser.parse_args()
    try:
        home = ensure_java_home()
        broker = KafkaBroker(folder=arguments.folder, port=arguments.port, java_home=home, jars=ensure_jars(home).kafka)
        broker.prepare()
    except MmrecError as error:
        sys.exit(f"error: {error}")
    command = broker.command()
    os.execve(command[0], command, {**os.environ, **java_environment(home)})


if __name__ == "__main__":
    main()
