"""How brokers are reached: addresses, TLS, login. The one place that says so to kafka-python and to Spark.

    kafka.KafkaProducer(**client_options(settings.kafka), ...)
    for name, value in spark_options(settings.kafka).items(): reader.option(name, value)

Where `Brokers` is asked for, addresses alone stand for brokers without TLS and login.
"""

from pathlib import Path
from typing import Any

from mmrec.connections.engines import KafkaSettings
from mmrec.connections.secrets import private_problem, read_secret
from mmrec.errors import ConfigurationError

Brokers = str | KafkaSettings
"""host:port[,host:port...], or the settings that say more."""
REDACTED = r"(?i)secret|password|token|jaas|keystore[.]key|access[.]?key"
"""spark.redaction.regex: names of options whose values Spark does not show."""
REDACTED_TEXT = (
    r"(?s)password=\"(?:[^\"\\]|\\.)*\"|-----BEGIN [A-Z ]*PRIVATE KEY-----.*?-----END [A-Z ]*PRIVATE KEY-----"
)
"""spark.sql.redaction.string.regex: the same within plans and messages."""


def addresses(brokers: Brokers) -> str:
    """Where they are: host:port[,host:port...]."""
    return brokers if isinstance(brokers, str) else brokers.bootstrap


def client_options(brokers: Brokers) -> dict[str, Any]:
    """Arguments of every client of kafka-python.

    Raises:
        ConfigurationError: a file is missing, or others may read a secret.
    """
    options: dict[str, Any] = {"bootstrap_servers": [each.strip() for each in addresses(brokers).split(",")]}
    if isinstance(brokers, str):
        return options
    options["security_protocol"] = _protocol(brokers)
    if brokers.tls:
        options["ssl_check_hostname"] = True
        if brokers.ca_file:
            options["ssl_cafile"] = brokers.ca_file
        if brokers.certificate_file:
            _check_key(brokers)
            options |= {"ssl_certfile": brokers.certificate_file, "ssl_keyfile": brokers.key_file}
    if brokers.username:
        options |= {
            "sasl_mechanism": brokers.sasl_mechanism,
            "sasl_plain_username": brokers.username,
            "sasl_plain_password": _password(brokers),
        }
    return options


def java_options(brokers: KafkaSettings) -> dict[str, str]:
    """The same in the words of Kafka's own clients.

    Certificate and key are read and passed as text: Java wants them in one file, and they are two here.

    Raises:
        ConfigurationError: as client_options().
    """
    options = {"bootstrap.servers": brokers.bootstrap.replace(" ", ""), "security.protocol": _protocol(brokers)}
    if brokers.tls:
        if brokers.ca_file:
            options |= {"ssl.truststore.type": "PEM", "ssl.truststore.location": brokers.ca_file}
        if brokers.certificate_file:
            _check_key(brokers)
            options |= {
                "ssl.keystore.type": "PEM",
                "ssl.keystore.certificate.chain": _text(brokers.certificate_file, "kafka.certificate_file"),
                "ssl.keystore.key": _text(brokers.key_file, "kafka.key_file"),
            }
    if brokers.username:
        module = "scram.ScramLoginModule" if brokers.sasl_mechanism.startswith("SCRAM") else "plain.PlainLoginModule"
        options |= {
            "sasl.mechanism": brokers.sasl_mechanism,
            "sasl.jaas.config": (
                f"org.apache.kafka.common.security.{module} required username={_quoted(brokers.username)} "
                f"password={_quoted(_password(brokers))};"
            ),
        }
    return options


def spark_options(brokers: KafkaSettings) -> dict[str, str]:
    """The same as options of Spark's Kafka source; REDACTED keeps them out of what Spark logs."""
    return {f"kafka.{name}": value for name, value in java_options(brokers).items()}


def _protocol(brokers: KafkaSettings) -> str:
    transport = "SSL" if brokers.tls else "PLAINTEXT"
    return f"SASL_{transport}" if brokers.username else transport


def _password(brokers: KafkaSettings) -> str:
    return read_secret(brokers.password_file, setting="kafka.password_file")


def _check_key(brokers: KafkaSettings) -> None:
    if problem := private_problem(brokers.key_file):
        raise ConfigurationError(f"kafka.key_file is {brokers.key_file!r}: {problem}")


def _text(path: str, setting: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii")
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{setting} is {path!r}, which is no PEM file: {error}") from None


def _quoted(text: str) -> str:
    """A word of a JAAS line."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
