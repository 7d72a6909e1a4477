"""A Spark standalone cluster: a master and workers of one core each, which know each other by a secret and encrypt.

What is said to one of them is in a file that all read, the driver included: spark-defaults.conf in SPARK_CONF_DIR.
"""

import shutil
import sys
from pathlib import Path

from services.stack.ports import HOST
from services.stack.program import Program

WORKER_MEMORY, EXECUTOR_MEMORY, DAEMON_MEMORY = "1g", "512m", "160m"


class SparkCluster:
    """A master and its workers."""

    def __init__(self, folder: Path, *, port: int, web_ports: list[int], secret: str) -> None:
        """Nothing is started yet; the file of settings is written.

        Args:
            port: The master's.
            web_ports: The master's, and one for each worker.
            secret: Shared by all.
        """
        self._folder, self._port, self._web_ports = folder, port, web_ports
        folder.mkdir(parents=True, exist_ok=True)
        defaults = folder / "spark-defaults.conf"
        defaults.touch(mode=0o600)
        lines = {
            "spark.authenticate": "true",
            "spark.authenticate.secret": secret,
            "spark.network.crypto.enabled": "true",
            "spark.executor.memory": EXECUTOR_MEMORY,
            "spark.executor.cores": "1",
            "spark.executor.extraJavaOptions": "-XX:+UseSerialGC",
            "spark.master.rest.enabled": "false",
        }
        defaults.write_text("".join(f"{name} {value}\n" for name, value in lines.items()), encoding="utf-8")

    @property
    def master(self) -> str:
        """The address for drivers."""
        return f"spark://{HOST}:{self._port}"

    @property
    def environment(self) -> dict[str, str]:
        """Variables of master, workers and drivers."""
        return {
            "SPARK_CONF_DIR": str(self._folder),
            "SPARK_DAEMON_MEMORY": DAEMON_MEMORY,
            "SPARK_DAEMON_JAVA_OPTS": "-XX:+UseSerialGC -XX:TieredStopAtLevel=1",
            "SPARK_LOCAL_IP": HOST,
        }

    def programs(self) -> list[Program]:
        """For a supervisor."""
        spark_class = shutil.which("spark-class", path=str(Path(sys.executable).parent)) or "spark-class"
        deploy = "org.apache.spark.deploy"
        first, *others = self._web_ports
        where = ("--host", HOST, "--port", str(self._port), "--webui-port", str(first))
        programs = [
            Program(
                name="spark_master",
                command=(spark_class, f"{deploy}.master.Master", *where),
                port=self._port,
                environment=self.environment,
            )
        ]
        for number, web_port in enumerate(others, 1):
            size = ("--host", HOST, "--cores", "1", "--memory", WORKER_MEMORY, "--webui-port", str(web_port))
            place = ("--work-dir", str(self._folder / f"worker_{number}"), self.master)
            programs.append(
                Program(
                    name=f"spark_worker_{number}",
                    command=(spark_class, f"{deploy}.worker.Worker", *size, *place),
                    port=web_port,
                    after=("spark_master",),
                    environment=self.environment,
                )
            )
        return programs
