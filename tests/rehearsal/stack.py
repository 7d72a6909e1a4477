"""The rehearsal's stack: secured engines as several processes each, and mmrec's own programs as they run in production.

with RehearsalStack(folder) as stack:
    stack.kill("kafka_2"); stack.renew_certificates()

What this process asks engines for, it asks as an operator would: `operator`. Everything it started is gone at the end,
kill -9 of this process included.
"""

import os
import secrets
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import grpc
import psutil

from mmrec.config import Settings, load_settings
from mmrec.connections.grpc_credentials import client_channel
from mmrec.home import StackHome
from mmrec.telemetry.metric_names import PROCESSES
from mmrec.wire.toml_text import toml_text
from services.edge.clients import load_edge
from services.edge.envoy import BackendPlace, EdgePlace, envoy_configuration
from services.stack.configuration import StackPorts
from services.stack.guard import new_stack_id, processes_of, start_guard
from services.stack.jars import ensure_jars
from services.stack.java import ensure_java_home
from services.stack.plan import programs, stack_environment, temporary_folders
from services.stack.ports import HOST, is_free
from services.stack.program import Patience, Program
from services.stack.supervisor import Supervisor
from tests.benchmarks.chaos_stream_load import RECONNECT
from tests.benchmarks.chaos_stream_run import SCORING
from tests.edge_server import envoy_command, envoy_program
from tests.pki import Authority, Issued, secret
from tests.rehearsal.brokers import ADMIN, NUM_BROKERS, PORTS_EACH, BrokerCluster, kafka_users
from tests.rehearsal.redis_servers import USER, redis_program
from tests.rehearsal.spark_cluster import SparkCluster
from tests.tokens import TokenIssuer, bearer

FIRST_PORT = 24_000
"""Below the ports that the system gives to clients, which would take a server's port while it is down."""
EDGE_LIST = Path(__file__).resolve().parents[2] / "deploy" / "edge.toml"
NUM_COLLECTORS, NUM_WORKERS = 2, 2
OPERATOR = "toolbox"
"""The login of people and of storefronts that write to Kafka themselves."""
STOREFRONT = "storefront"
"""The client of deploy/edge.toml that asks here."""
PATIENCE = Patience(first_pause_s=0.5, longest_pause_s=2.0, attempts=6)
START_S = 900.0
SLOW_S = 600.0
"""A program of a machine that does everything at once may take this long to start."""


@dataclass(frozen=True, kw_only=True)
class Certificates:
    """Who shows what to whom."""

    authority: Authority
    """Of all programs and engines."""
    edge: Authority
    """Of the edge alone: who shows a certificate of another authority is refused by the services behind it."""
    clients: Authority
    """Of those who ask from outside."""
    programs: Issued
    """What programs show each other, and at their metrics."""
    collector: Issued
    gateway: Issued
    """What the edge shows those who ask, and what it shows the services behind it."""
    edge_client: Issued
    storefront: Issued

    @classmethod
    def make(cls, folder: Path) -> "Certificates":
        authority, edge, clients = (Authority(folder, name) for name in ("ca", "edge-ca", "clients-ca"))
        return cls(
            authority=authority,
            edge=edge,
            clients=clients,
            programs=authority.issue("programs"),
            collector=authority.issue("collector", usage="serverAuth"),
            gateway=authority.issue("gateway", usage="serverAuth"),
            edge_client=edge.issue("edge", usage="clientAuth"),
            storefront=clients.issue(STOREFRONT, names=f"DNS:{STOREFRONT}", usage="clientAuth"),
        )


class RehearsalStack:
    """Brokers, Redis, Spark, the stream, collectors, and what keeps their stores."""

    def __init__(self, folder: Path, *, num_replicas: int, say: Callable[[str], None]) -> None:
        """Certificates, passwords and settings are written; nothing is started yet.

        Args:
            num_replicas: Of the recommender; 0 for none, and nothing that it needs.

        Raises:
            MachineError: a program that is needed is not on this machine.
        """
        self.home, self._say, self.num_replicas = StackHome(folder=folder.resolve()), say, num_replicas
        self.home.folder.mkdir(parents=True, exist_ok=True)
        self._ending, self._free = ExitStack(), _free_ports()
        self.certificates = Certificates.make(self.home.folder / "pki")
        self._passwords = {name: secrets.token_urlsafe(24) for name in (ADMIN, *kafka_users(), USER)}
        self.collectors = [f"{HOST}:{next(self._free)}" for _ in range(NUM_COLLECTORS)]
        self.edge = f"{HOST}:{next(self._free)}" if envoy_program() else ""
        """Where the edge listens; empty where there is no Envoy: callers then go to the services themselves."""
        self._edge_list = load_edge(EDGE_LIST)
        issuer = self._edge_list.issuer
        self._tokens = TokenIssuer(self.home.folder / "pki", issuer=issuer.issuer, audience=issuer.audience)
        self._turn = count()
        self._java_home = ensure_java_home()
        self._jars = ensure_jars(self._java_home)
        self._brokers = BrokerCluster(
            self.home.folder,
            authority=self.certificates.authority,
            ports=[_free_run(self._free, PORTS_EACH) for _ in range(NUM_BROKERS)],
            java_home=self._java_home,
            jars=self._jars.kafka,
            passwords={name: self._passwords[name] for name in (ADMIN, *kafka_users())},
        )
        self._redis = {name: next(self._free) for name in ("redis_profiles", "redis_overlay")}
        web_ports = [next(self._free) for _ in range(1 + NUM_WORKERS)]
        self.spark = SparkCluster(
            self.home.folder / "spark", port=next(self._free), web_ports=web_ports, secret=secrets.token_urlsafe(32)
        )
        self._ports = self._stack_ports()
        self.home.config.write_text(toml_text(self._document(), header="Written by the rehearsal."), encoding="utf-8")
        self.settings = load_settings(self.home.config)
        self.operator = self._as(OPERATOR)
        """Settings with a login at the brokers that may read and write."""

    def __enter__(self) -> "RehearsalStack":
        with ExitStack() as undo:
            self._begin(undo)
            self._ending = undo.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.close()

    def kill(self, program: str) -> int:
        """kill -9 of everything that runs for a program, as when its machine is lost; how many processes there were."""
        pids = processes_of(self.stack_id, program=program)
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return len(pids)

    def replicas(self) -> list[int]:
        """Processes of the recommender's replicas."""
        found = []
        with suppress(psutil.Error):
            # Ray writes their titles over their environment, so they are found by their parents.
            for process in psutil.Process(self.supervisor.children["ray"].pid).children(recursive=True):
                with suppress(psutil.Error):
                    if "ServeReplica:recommender" in " ".join(process.cmdline()):
                        found.append(process.pid)
        return found

    def open_channel(self) -> grpc.Channel:
        """A channel as a storefront opens it; where there is no edge, to one collector after the other, as the edge."""
        made = self.certificates
        if not self.edge:
            return client_channel(self.collectors[next(self._turn) % NUM_COLLECTORS], self.settings.serving)
        files = (made.authority.certificate, made.storefront.key, made.storefront.certificate)
        credentials = grpc.ssl_channel_credentials(*(Path(file).read_bytes() for file in files))
        return grpc.secure_channel(self.edge, credentials, RECONNECT)

    def open_lists_channel(self) -> grpc.Channel:
        """The same to the recommender."""
        return self.open_channel() if self.edge else grpc.insecure_channel(self.settings.serving.recommender)

    @property
    def token(self) -> tuple[tuple[str, str], ...]:
        """Metadata of a storefront's calls."""
        return bearer(self._tokens.token(STOREFRONT, "recommend record", expires_in_s=6 * 3_600))

    def renew_certificates(self) -> None:
        """New ones of the same names in the same places."""
        self.certificates.authority.issue("collector", usage="serverAuth")

    def _as(self, login: str) -> Settings:
        named = {"username": login, "password_file": self._password_file(login)}
        return replace(self.settings, kafka=replace(self.settings.kafka, **named))

    def _password_file(self, login: str) -> str:
        path = self.home.folder / "login" / login
        path.parent.mkdir(mode=0o700, exist_ok=True)
        return str(path) if path.is_file() else secret(path, self._passwords[login])

    def _document(self) -> dict[str, Any]:
        made, folder, pki = self.certificates, self.home.folder, self.certificates.authority.certificate
        stores = {
            "online_store": "redis",
            "milvus_uri": f"http://{HOST}:{self._ports.milvus}",
            "redis_connection": f"{HOST}:{self._redis['redis_profiles']}",
            "overlay_connection": f"{HOST}:{self._redis['redis_overlay']}",
            "redis_tls": True,
            "redis_ca_file": pki,
            "redis_certificate_file": made.programs.certificate,
            "redis_key_file": made.programs.key,
            "redis_username": USER,
            "redis_password_file": self._password_file(USER),
            **{name: str(folder / name) for name in ("content", "releases", "status", "checkpoint")},
            "event_log": str(folder / "log"),
            "feature_repo": str(folder / "feature_repo"),
        }
        serving = {
            "recommender": f"{HOST}:{self._ports.recommender}",
            "num_replicas": max(self.num_replicas, 1),
            "collector": self.collectors[0],
            "certificate_file": made.collector.certificate,
            "key_file": made.collector.key,
            "client_ca_file": made.edge.certificate,
            "ca_file": pki,
            "client_certificate_file": made.edge_client.certificate,
            "client_key_file": made.edge_client.key,
        }
        metrics = {process: f"{HOST}:{next(self._free)}" for process in PROCESSES}
        secured = {"certificate_file": made.programs.certificate, "key_file": made.programs.key, "ca_file": pki}
        return {
            "kafka": {"bootstrap": self._brokers.bootstrap, "tls": True, "ca_file": pki, "num_partitions": 4},
            "stores": stores,
            "serving": serving,
            "metrics": {**metrics, **secured},
            "scoring": SCORING,
            "search": {"encodes_queries": False},
        }

    def _login(self, login: str) -> dict[str, str]:
        return {"MMREC__KAFKA__USERNAME": login, "MMREC__KAFKA__PASSWORD_FILE": self._password_file(login)}

    def _begin(self, undo: ExitStack) -> None:
        self._say("formatting brokers")
        self._brokers.prepare()
        self.stack_id = new_stack_id()
        planned = self._programs()
        guard = start_guard(self.stack_id, folders=temporary_folders(planned, self.stack_id))
        undo.callback(guard.communicate)
        secret(self.home.folder / "ray_token", secrets.token_hex(32))
        environment = stack_environment(self.home, self._ports, java_home=self._java_home, spark_jars=self._jars.spark)
        self.supervisor = Supervisor(
            [replace(program, start_timeout_s=SLOW_S) for program in planned],
            stack_id=self.stack_id,
            environment=environment,
            home=self.home,
            patience=PATIENCE,
            on_ready=lambda name, seconds: self._say(f"{name} is ready after {seconds:.1f} s"),
        )
        self.supervisor.start()
        undo.callback(self.supervisor.stop)
        self.supervisor.wait_ready(timeout_s=START_S)

    def _stack_ports(self) -> StackPorts:
        """Kafka's is not used: there are several."""
        kafka, milvus, recommender = (next(self._free) for _ in range(3))
        collector = int(self.collectors[0].rpartition(":")[2])
        ray = _free_run(self._free, 4)
        return StackPorts(kafka=kafka, milvus=milvus, recommender=recommender, collector=collector, ray=ray)

    def _programs(self) -> list[Program]:
        made, brokers = self.certificates, self._brokers.programs()
        redis = [
            redis_program(
                name,
                self.home.folder / name,
                port,
                issued=made.programs,
                ca_file=made.authority.certificate,
                password=self._passwords[USER],
            )
            for name, port in self._redis.items()
        ]
        planned = {p.name: p for p in programs(self.settings, self.home, self._ports, stack_id=self.stack_id)}
        engines = (*(p.name for p in (*brokers, *redis)), "rights")
        rights = Program(
            name="rights",
            command=(planned["topics"].command[0], "-m", "tests.rehearsal.brokers"),
            after=tuple(p.name for p in brokers),
            one_shot=True,
            environment=self._login(ADMIN),
        )
        topics = replace(planned["topics"], after=("rights",), environment=self._login(ADMIN))
        features = replace(planned["features"], after=tuple(p.name for p in redis))
        spark = self.spark.programs()
        stream = replace(
            planned["score_stream"],
            command=(*planned["score_stream"].command, "--master", self.spark.master, "--partitions", str(NUM_WORKERS)),
            after=("topics", "features", *(p.name for p in spark)),
            environment={**self.spark.environment, **self._login("score-stream")},
            niceness=0,
        )
        follower = replace(planned["follow_events"], environment=self._login("follow-events"), niceness=0)
        return [
            *brokers,
            *redis,
            *spark,
            rights,
            topics,
            features,
            stream,
            follower,
            *self._edge_programs(),
            *self._serving(planned),
            *self._collectors(planned["collector"], after=("topics", "features", *engines)),
        ]

    def _serving(self, planned: dict[str, Program]) -> list[Program]:
        """The recommender with what it stands on."""
        if not self.num_replicas:
            return []
        recommender = replace(
            planned["recommender"], environment={**planned["recommender"].environment, **self._login("recommender")}
        )
        return [planned["milvus"], planned["ray"], recommender]

    def _edge_programs(self) -> list[Program]:
        """Envoy with the list of production, where there is Envoy."""
        if not self.edge:
            self._say("there is no Envoy: callers go to the collectors themselves, with the edge's certificate")
            return []
        made = self.certificates
        collectors = BackendPlace(
            addresses=[(HOST, int(address.rpartition(":")[2])) for address in self.collectors],
            ca_file=made.authority.certificate,
            name="localhost",
        )
        backends = {"collector": collectors}
        if self.num_replicas:
            backends["recommender"] = BackendPlace(addresses=[(HOST, self._ports.recommender)])
        place = EdgePlace(
            host=HOST,
            port=int(self.edge.rpartition(":")[2]),
            admin_port=next(self._free),
            certificate_file=made.gateway.certificate,
            key_file=made.gateway.key,
            client_ca_file=made.clients.certificate,
            jwks_file=self._tokens.jwks_file,
            backends=backends,
            shown_certificate_file=made.edge_client.certificate,
            shown_key_file=made.edge_client.key,
            access_log=str(self.home.logs / "access.log"),
        )
        document = envoy_configuration(self._edge_list, place)
        command = envoy_command(document, self.home.folder / "envoy.json")
        return [Program(name="edge", command=command, port=place.port)]

    def _collectors(self, planned: Program, *, after: tuple[str, ...]) -> list[Program]:
        """Each with a status file and without metrics but the first: programs of one machine share a configuration."""
        return [
            replace(
                planned,
                name=f"collector_{number}",
                port=int(address.rpartition(":")[2]),
                has_status=False,
                after=after,
                environment={
                    **self._login("collector"),
                    "MMREC__SERVING__COLLECTOR": address,
                    "MMREC__STORES__STATUS": str(self.home.folder / f"status_collector_{number}"),
                    **({"MMREC__METRICS__COLLECTOR": ""} if number > 1 else {}),
                },
            )
            for number, address in enumerate(self.collectors, 1)
        ]


def _free_ports() -> Iterator[int]:
    """Free ports, each once."""
    return filter(is_free, count(FIRST_PORT))


def _free_run(free: Iterator[int], length: int) -> int:
    """The first of so many free ports in a row."""
    run: list[int] = []
    for port in free:
        run = [*run, port] if run and port == run[-1] + 1 else [port]
        if len(run) == length:
            break
    return run[0]
