"""Settings of encryption and logins: given together, taken from files and the environment, needed beyond loopback."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mmrec.config import KafkaSettings, Settings, load_settings, parse_settings
from mmrec.connections.secrets import read_secret
from mmrec.errors import ConfigurationError
from mmrec.programs.plaintext import open_connections, refuse_plaintext
from mmrec.wiring import settings_from

ROOT = Path(__file__).resolve().parents[2]


def parsed(document: dict[str, Any]) -> Settings:
    return parse_settings(document, where="here", folder=Path("/etc/mmrec"))


def written(folder: Path, text: str) -> Path:
    file = folder / "mmrec.toml"
    file.write_text(text, encoding="utf-8")
    return file


@pytest.mark.parametrize(
    ("table", "values", "said"),
    [
        ("kafka", {"ca_file": "ca.crt"}, "kafka.ca_file is given, but kafka.tls is not"),
        ("kafka", {"tls": True, "certificate_file": "a"}, "kafka.key_file is empty, but kafka.certificate_file is"),
        ("kafka", {"username": "ann"}, "kafka.password_file is empty, but kafka.username is given"),
        (
            "kafka",
            {"username": "ann", "password_file": "p", "sasl_mechanism": "PLAIN"},
            "kafka.sasl_mechanism is 'PLAIN' without kafka.tls",
        ),
        ("stores", {"redis_ca_file": "ca"}, "stores.redis_ca_file is given, but stores.redis_tls is not"),
        ("stores", {"redis_username": "u"}, "stores.redis_username is given, but stores.redis_password_file is not"),
        ("stores", {"overlay_password_file": "p"}, "stores.overlay_password_file is given, but stores.overlay_conn"),
        ("stores", {"milvus_ca_file": "ca"}, "stores.milvus_ca_file is given, but stores.milvus_uri is no https"),
        (
            "stores",
            {"s3_ca_file": "ca", "s3_endpoint": "http://x"},
            "stores.s3_ca_file is given, but stores.s3_endpoint",
        ),
        ("stores", {"content": "s3://b/c"}, "stores.content is 's3://b/c'; give a folder: only event_log and releases"),
        ("stores", {"checkpoint": "s3a://b/c"}, "stores.checkpoint is 's3a://b/c'; give a folder"),
        ("stores", {"releases": "gs://b/c"}, "stores.releases is 'gs://b/c'; give a folder, a file:// URL or s3://"),
        ("serving", {"key_file": "k"}, "serving.certificate_file is empty, but serving.key_file is given"),
        ("serving", {"client_ca_file": "k"}, "serving.client_ca_file is given, but serving.certificate_file is not"),
        ("metrics", {"certificate_file": "c"}, "metrics.key_file is empty, but metrics.certificate_file is given"),
    ],
)
def test_a_setting_that_needs_another_one_is_refused_alone(table: str, values: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parsed({table: values})
    assert str(caught.value).startswith(f"here: {said}")


def test_relative_files_are_taken_from_the_folder_of_the_configuration() -> None:
    settings = parsed({"kafka": {"tls": True, "ca_file": "kafka/ca.crt"}, "stores": {"milvus_token_file": "/run/t"}})
    assert settings.kafka.ca_file == "/etc/mmrec/kafka/ca.crt"
    assert settings.kafka.certificate_file == ""
    assert settings.stores.milvus_token_file == "/run/t"


def test_the_environment_overrides_the_file_and_is_held_to_the_same_declarations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = written(tmp_path, '[kafka]\nbootstrap = "127.0.0.1:1"\nnum_partitions = 3\n')
    monkeypatch.setenv("MMREC__KAFKA__BOOTSTRAP", "127.0.0.1:2")
    monkeypatch.setenv("MMREC__KAFKA__TLS", "true")
    monkeypatch.setenv("MMREC__CONTENT__IMAGE_HOSTS", '["a.example"]')
    monkeypatch.setenv("MMREC__STATISTICS__HALF_LIVES_DAYS", "[2, 3.5]")
    settings = load_settings(file)
    assert (settings.kafka.bootstrap, settings.kafka.tls, settings.kafka.num_partitions) == ("127.0.0.1:2", True, 3)
    assert settings.content.image_hosts == ("a.example",)
    assert settings.statistics.half_lives_days == (2.0, 3.5)


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("MMREC__KAFKA__BOOTSTRP", "h:1", "did you mean 'bootstrap'"),
        ("MMREC__KAFAK__BOOTSTRAP", "h:1", "did you mean 'kafka'"),
        ("MMREC__KAFKA", "h:1", "is not a known name"),
        ("MMREC__KAFKA__NUM_PARTITIONS", "many", "MMREC__KAFKA__NUM_PARTITIONS is 'many'; give a whole number"),
        ("MMREC__CONTENT__IMAGE_HOSTS", "a.example", "MMREC__CONTENT__IMAGE_HOSTS is no TOML value"),
    ],
)
def test_a_variable_that_names_or_holds_nothing_known_is_refused(
    variable: str, value: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigurationError) as caught:
        load_settings(written(tmp_path, ""))
    assert said in str(caught.value)
    assert variable in str(caught.value)


def test_a_secret_is_the_content_of_a_file_that_not_everybody_may_read(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("pass, word=1\n", encoding="utf-8")
    for mode in (0o600, 0o440):
        file.chmod(mode)
        assert read_secret(str(file), setting="kafka.password_file") == "pass, word=1"


@pytest.mark.parametrize(
    ("content", "mode", "said"),
    [
        (b"s3cret", 0o644, "mode 0644"),
        (b"s3cret", 0o602, "mode 0602"),
        (b"\n", 0o600, "it is empty"),
        (b"s3cret\nof two lines\n", 0o600, "several lines"),
        (b"\xffs3cret", 0o600, "no UTF-8"),
        (b"s3cret" * 20_000, 0o600, "a secret has"),
        (None, 0o600, "cannot be read"),
    ],
)
def test_a_file_that_is_no_secret_is_refused_by_setting_and_name_without_its_content(
    content: bytes | None, mode: int, said: str, tmp_path: Path
) -> None:
    file = tmp_path / "password"
    if content is not None:
        file.write_bytes(content)
        file.chmod(mode)
    with pytest.raises(ConfigurationError) as caught:
        read_secret(str(file), setting="kafka.password_file")
    assert str(caught.value).startswith(f"kafka.password_file is {str(file)!r}")
    assert said in str(caught.value)
    assert "s3cret" not in str(caught.value)


OUTSIDE: list[tuple[str, dict[str, Any]]] = [
    ("kafka", {"kafka": {"bootstrap": "127.0.0.1:1,broker:9092"}}),
    ("redis", {"stores": {"online_store": "redis", "redis_connection": "cache:6379,password=x"}}),
    (
        "redis",
        {
            "stores": {
                "online_store": "redis",
                "redis_connection": "h:1,ssl=true",
                "redis_cluster": True,
                "overlay_connection": "h:2",
            }
        },
    ),
    ("milvus", {"stores": {"milvus_uri": "http://root:pw@milvus:19530"}}),
    ("s3", {"stores": {"s3_endpoint": "http://objects:8333"}}),
    ("collector", {"serving": {"collector": "0.0.0.0:1"}}),
    ("recommender", {"serving": {"recommender": "[::]:1"}}),
    ("admin", {"serving": {"admin": "0.0.0.0:1"}}),
    ("metrics", {"metrics": {"tend_log": "10.0.0.1:9464"}}),
]


@pytest.mark.parametrize(("edge", "document"), OUTSIDE)
def test_what_would_leave_the_machine_unencrypted_is_refused_unless_allowed(
    edge: str, document: dict[str, Any]
) -> None:
    settings = parsed(document)
    with pytest.raises(ConfigurationError, match=rf'add "{edge}" to security\.plaintext_allowed') as caught:
        refuse_plaintext(settings)
    assert "pw" not in str(caught.value)
    assert "password" not in str(caught.value)
    refuse_plaintext(parsed({**document, "security": {"plaintext_allowed": [edge]}}))


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"kafka": {"bootstrap": "localhost:1,[::1]:2,127.0.1.1:3"}},
        {"kafka": {"bootstrap": "broker:9092", "tls": True}},
        {"stores": {"online_store": "redis", "redis_connection": "cache:6379", "redis_tls": True}},
        {"stores": {"redis_connection": "unused:1"}},
        {"stores": {"milvus_uri": "https://milvus:19530"}},
        {"stores": {"s3_endpoint": "https://objects:8333", "s3_ca_file": "ca", "event_log": "s3://mmrec/log"}},
        {"serving": {"collector": "0.0.0.0:1", "certificate_file": "c", "key_file": "k"}},
        {"serving": {"admin": "0.0.0.0:1", "certificate_file": "c", "key_file": "k"}},
        {"metrics": {"collector": "0.0.0.0:1", "certificate_file": "c", "key_file": "k"}},
    ],
)
def test_loopback_and_what_is_encrypted_need_no_allowance(document: dict[str, Any]) -> None:
    refuse_plaintext(parsed(document))


def test_a_program_does_not_start_with_such_a_configuration(tmp_path: Path) -> None:
    file = written(tmp_path, '[kafka]\nbootstrap = "broker:9092"\n')
    with pytest.raises(ConfigurationError, match=r"kafka\.bootstrap leads to broker unencrypted; set kafka\.tls"):
        settings_from(str(file))
    assert load_settings(file).kafka.bootstrap == "broker:9092"


def test_the_production_example_leaves_only_the_recommender_to_a_proxy() -> None:
    settings = load_settings(ROOT / "deploy" / "mmrec.production.toml")
    refuse_plaintext(settings)
    assert {found.edge for found in open_connections(settings)} == {"recommender"}


def test_settings_that_are_printed_show_no_secret() -> None:
    settings = replace(Settings(), kafka=KafkaSettings(username="ann", password_file="/run/password"))
    assert "/run/password" in repr(settings)
