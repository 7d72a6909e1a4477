"""The same brokers are named to kafka-python and to Kafka's own clients, passwords included, and only there."""

from pathlib import Path

import pytest

from mmrec.config import KafkaSettings
from mmrec.connections.brokers import REDACTED, REDACTED_TEXT, client_options, java_options, spark_options
from mmrec.errors import ConfigurationError
from tests.pki import secret


def test_addresses_alone_are_brokers_without_tls_and_login() -> None:
    assert client_options("a:1, b:2") == {"bootstrap_servers": ["a:1", "b:2"]}
    assert client_options(KafkaSettings(bootstrap="a:1")) == {
        "bootstrap_servers": ["a:1"],
        "security_protocol": "PLAINTEXT",
    }
    assert spark_options(KafkaSettings(bootstrap="a:1, b:2")) == {
        "kafka.bootstrap.servers": "a:1,b:2",
        "kafka.security.protocol": "PLAINTEXT",
    }


@pytest.mark.parametrize(
    ("tls", "login", "protocol"),
    [(False, False, "PLAINTEXT"), (True, False, "SSL"), (False, True, "SASL_PLAINTEXT"), (True, True, "SASL_SSL")],
)
def test_both_kinds_of_client_speak_the_same_protocol(tls: bool, login: bool, protocol: str, tmp_path: Path) -> None:
    values = {"username": "ann", "password_file": secret(tmp_path / "password", "s3cret")} if login else {}
    settings = KafkaSettings(tls=tls, **values)
    assert client_options(settings)["security_protocol"] == protocol
    assert java_options(settings)["security.protocol"] == protocol


def test_a_login_is_read_from_its_file_at_each_connection(tmp_path: Path) -> None:
    file = tmp_path / "password"
    settings = KafkaSettings(username="ann", password_file=secret(file, "one"))
    assert client_options(settings)["sasl_plain_password"] == "one"
    secret(file, "two")
    assert client_options(settings)["sasl_plain_password"] == "two"
    assert client_options(settings)["sasl_mechanism"] == "SCRAM-SHA-512"


def test_any_password_stays_one_word_of_a_jaas_line(tmp_path: Path) -> None:
    file = secret(tmp_path / "password", 'a "b\\ c; d=e')
    line = java_options(KafkaSettings(username="ann", password_file=file))["sasl.jaas.config"]
    assert line == (
        'org.apache.kafka.common.security.scram.ScramLoginModule required username="ann" password="a \\"b\\\\ c; d=e";'
    )


def test_mechanisms_have_their_modules(tmp_path: Path) -> None:
    file = secret(tmp_path / "password", "s")
    plain = KafkaSettings(tls=True, username="ann", password_file=file, sasl_mechanism="PLAIN")
    assert "plain.PlainLoginModule" in java_options(plain)["sasl.jaas.config"]
    assert java_options(plain)["sasl.mechanism"] == "PLAIN"


def test_certificates_are_named_to_one_and_passed_as_text_to_the_other(tmp_path: Path) -> None:
    key, certificate, ca = (tmp_path / name for name in ("tls.key", "tls.crt", "ca.crt"))
    for file in (key, certificate, ca):
        file.write_text(f"-----BEGIN {file.name}-----\n", encoding="utf-8")
    key.chmod(0o600)
    settings = KafkaSettings(tls=True, ca_file=str(ca), certificate_file=str(certificate), key_file=str(key))
    options = client_options(settings)
    assert (options["ssl_cafile"], options["ssl_certfile"], options["ssl_keyfile"]) == (
        str(ca),
        str(certificate),
        str(key),
    )
    assert options["ssl_check_hostname"] is True
    java = java_options(settings)
    assert java["ssl.truststore.location"] == str(ca)
    assert java["ssl.keystore.key"] == key.read_text(encoding="utf-8")
    assert java["ssl.keystore.certificate.chain"] == certificate.read_text(encoding="utf-8")
    key.chmod(0o644)
    for make in (client_options, java_options):
        with pytest.raises(ConfigurationError, match=r"kafka\.key_file is .*mode 0644"):
            make(settings)


def test_what_spark_logs_shows_neither_password_nor_key() -> None:
    import re

    for name in ("kafka.sasl.jaas.config", "kafka.ssl.keystore.key", "kafka.ssl.key.password"):
        assert re.search(REDACTED, name)
    for name in ("kafka.bootstrap.servers", "kafka.ssl.truststore.location", "subscribe"):
        assert not re.search(REDACTED, name)
    key = "-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----"
    said = f'required username="ann" password="a \\" s3cret"; ssl.keystore.key={key} end'
    assert re.sub(REDACTED_TEXT, "*", said) == 'required username="ann" *; ssl.keystore.key=* end'
