"""Three Kafka brokers as production has them: a quorum, three copies, TLS, for each program a login with its rights.

Logins and rights are those of deploy/components/tls/user-*.yaml, so what ran here is what the manifests allow.

    cluster = BrokerCluster(folder, authority=pki, ports=..., java_home=..., jars=..., passwords=...)
    cluster.prepare(); cluster.programs()

    python -m tests.rehearsal.brokers        gives the logins of a cluster that runs their rights, as its administrator
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import kafka
import yaml
from kafka.admin import (
    ACL,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    ResourcePattern,
    ResourceType,
)

from mmrec.connections.brokers import client_options
from mmrec.programs.shell import exit_status, shell_parser
from mmrec.telemetry.logs import configure_logging, get_logger
from mmrec.wiring import settings_from
from services.stack.kafka_broker import KafkaBroker, new_cluster_id
from services.stack.ports import HOST
from services.stack.program import Program
from tests.pki import Authority

ADMIN = "admin"
"""The login that may do everything; topics and rights are made with it."""
NUM_BROKERS = 3
PORTS_EACH = 3
"""For clients, for controllers, for brokers among each other."""
USERS = Path(__file__).resolve().parents[2] / "deploy" / "components" / "tls"
log = get_logger("tests.rehearsal.brokers")


def kafka_users() -> dict[str, list[dict[str, Any]]]:
    """Rights by login, as the manifests have them."""
    manifests = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(USERS.glob("user-*.yaml"))]
    return {each["metadata"]["name"]: each["spec"]["authorization"]["acls"] for each in manifests}


class BrokerCluster:
    """Brokers that know each other."""

    def __init__(
        self,
        folder: Path,
        *,
        authority: Authority,
        ports: Sequence[int],
        java_home: Path,
        jars: list[Path],
        passwords: Mapping[str, str],
    ) -> None:
        """Nothing is written yet.

        Args:
            ports: The first of each broker's PORTS_EACH.
            passwords: By login.
        """
        self._folder, self._authority = folder, authority
        # Controllers listen on the second port of each.
        voters = ",".join(f"{number}@{HOST}:{port + 1}" for number, port in enumerate(ports, 1))
        logins = [f"SCRAM-SHA-512=[name={name},password={password}]" for name, password in passwords.items()]
        cluster_id = new_cluster_id()
        self._brokers = [
            KafkaBroker(
                folder=folder / f"kafka_{number}",
                port=port,
                java_home=java_home,
                jars=jars,
                template=Path(__file__).with_name("broker.properties"),
                values={
                    "node_id": str(number),
                    "voters": voters,
                    "internal_port": str(port + 2),
                    "keystore": str(folder / "broker.pem"),
                    "truststore": authority.certificate,
                },
                cluster_id=cluster_id,
                format_options=tuple(part for login in logins for part in ("--add-scram", login)),
            )
            for number, port in enumerate(ports, 1)
        ]

    @property
    def bootstrap(self) -> str:
        """Addresses for clients."""
        return ",".join(broker.bootstrap for broker in self._brokers)

    def prepare(self) -> None:
        """Write settings and the brokers' certificate, and format their folders."""
        self._folder.mkdir(parents=True, exist_ok=True)
        issued = self._authority.issue("broker")
        pem = self._folder / "broker.pem"  # Java wants both in one file
        pem.touch(mode=0o600)
        pem.write_text("".join(Path(part).read_text(encoding="ascii") for part in (issued.key, issued.certificate)))
        for broker in self._brokers:
            broker.prepare()

    def programs(self) -> list[Program]:
        """For a supervisor."""
        return [
            Program(name=f"kafka_{number}", command=tuple(broker.command()), port=broker.port)
            for number, broker in enumerate(self._brokers, 1)
        ]


def rights() -> Iterator[ACL]:
    """What the manifests allow, as the broker is told it."""
    for user, acls in kafka_users().items():
        for each in acls:
            resource = each["resource"]
            pattern = ACLResourcePatternType.PREFIXED
            if resource["patternType"] == "literal":
                pattern = ACLResourcePatternType.LITERAL
            place = ResourcePattern(ResourceType[resource["type"].upper()], resource["name"], pattern)
            for operation in each["operations"]:
                named = ACLOperation["DESCRIBE_CONFIGS" if operation == "DescribeConfigs" else operation.upper()]
                yield ACL(f"User:{user}", "*", named, ACLPermissionType.ALLOW, place)


def _grant(config: str | None) -> None:
    wanted = list(rights())
    admin = kafka.KafkaAdminClient(**client_options(settings_from(config).kafka), bootstrap_timeout_ms=20_000)
    try:
        done = admin.create_acls(wanted)
    finally:
        admin.close()
    assert not done["failed"], done["failed"]
    log.info("rights_granted", num_rights=len(done["succeeded"]), logins=sorted(kafka_users()))


def main() -> int:
    """Connect, grant, report."""
    arguments = shell_parser(__doc__).parse_args()
    configure_logging()
    return exit_status(log, "rights", lambda: _grant(arguments.config))


if __name__ == "__main__":
    sys.exit(main())
