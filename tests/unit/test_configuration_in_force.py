"""The configuration in force: every value with its origin, and no secret in any form of it."""

import json
from pathlib import Path

import pytest

from mmrec.config import TABLES, Settings, load_settings
from mmrec.operating.configuration import configured_values, document_without_secrets, without_secrets
from mmrec.v1.admin_pb2 import ConfiguredValue, ValueOrigin

TEXT = """
[kafka]
bootstrap = "127.0.0.1:9092"

[stores]
online_store = "redis"
redis_connection = "127.0.0.1:6379,password=hunter2"
milvus_uri = "http://root:hunter2@127.0.0.1:19530"

[training.towers]
api_token = "hunter2"
epochs = 3

[[behaviors]]
name = "browse"
behavior_id = 1
weight = 1.0
"""


@pytest.fixture
def in_force(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, ConfiguredValue]:
    file = tmp_path / "mmrec.toml"
    file.write_text(TEXT, encoding="utf-8")
    monkeypatch.setenv("MMREC__KAFKA__NUM_PARTITIONS", "5")
    settings = load_settings(file)
    return {v.name: v for v in configured_values(settings, {"MMREC__KAFKA__NUM_PARTITIONS": "5"})}


def test_each_value_says_where_it_is_from(in_force: dict[str, ConfiguredValue]) -> None:
    bootstrap = in_force["kafka.bootstrap"]
    assert (bootstrap.value, bootstrap.origin) == ('"127.0.0.1:9092"', ValueOrigin.VALUE_ORIGIN_FILE)
    assert bootstrap.place == "line 3"
    partitions = in_force["kafka.num_partitions"]
    assert (partitions.value, partitions.origin) == ("5", ValueOrigin.VALUE_ORIGIN_ENVIRONMENT)
    assert partitions.place == "MMREC__KAFKA__NUM_PARTITIONS"
    assert in_force["kafka.tls"].origin == ValueOrigin.VALUE_ORIGIN_DEFAULT
    assert json.loads(in_force["behaviors"].value)[0]["name"] == "browse"


def test_every_setting_is_there(in_force: dict[str, ConfiguredValue]) -> None:
    for table in TABLES:
        assert {f"{table}.{name}" for name in vars(getattr(Settings(), table))} <= set(in_force)
    assert {"scoring.decay_per_day", "training.towers.epochs"} <= set(in_force)


def test_no_value_holds_a_secret(in_force: dict[str, ConfiguredValue]) -> None:
    assert [v.name for v in in_force.values() if "hunter2" in v.value] == []
    assert in_force["stores.redis_connection"].value == '"127.0.0.1:6379,password=***"'
    assert in_force["stores.milvus_uri"].value == '"http://***@127.0.0.1:19530"'
    assert in_force["training.towers.api_token"].value == '"***"'


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("redis:6379,username=ann,password=pa ss", "redis:6379,username=ann,password=*** ss"),
        ("https://user:word@host/x?token=abc&y=1", "https://***@host/x?token=***&y=1"),
        ("s3://bucket/log?aws_secret=abc", "s3://bucket/log?aws_secret=***"),
        ("PASSWORD=abc; more", "PASSWORD=***; more"),
        ("a compass=1 is none", "a compass=1 is none"),
        ("host:9092", "host:9092"),
        ("redis:6379,password='hunter2',db=1", "redis:6379,password='***',db=1"),
        ('redis:6379, password="hunter 2"; db', 'redis:6379, password="***"; db'),
        ("Client(password=hunter2, port=1)", "Client(password=***, port=1)"),
        ("Client(password=b'hunter2', port=1)", "Client(password=b'***', port=1)"),
        ("{password=hunter2}", "{password=***"),
        ("{'password': 'hunter2', 'port': 1}", "{'password': '***', 'port': 1}"),
        ('{"a": "b", "password": "hunter2"}', '{"a": "b", "password": "***"}'),
        ('"{\\"password\\": \\"hunter2\\", \\"port\\": 1}"', '"{\\"password\\": \\"***\\", \\"port\\": 1}"'),
        ('"{\\"at\\": \\"redis,password=hunter2\\"}"', '"{\\"at\\": \\"redis,password=***\\"}"'),
        ('{"password": "hunter\\"2", "port": 1}', '{"password": "***", "port": 1}'),
        ('{"password":"hunter2","api_key":"hunter2"}', '{"password":"***","api_key":"***"}'),
        ("password='hunter2", "password='***"),
        ('api_token = "hunter2"', 'api_token = "***"'),
        ("the password: it's wrong", "the password: it's wrong"),
        ('{"password_file": "/run/p", "compass": "n"}', '{"password_file": "/run/p", "compass": "n"}'),
    ],
)
def test_what_looks_like_a_secret_is_replaced_and_nothing_else(text: str, left: str) -> None:
    assert without_secrets(text) == left


def test_values_under_names_that_say_so_are_replaced_at_any_depth() -> None:
    document = {"a": [{"password": "x", "password_file": "/run/p", "empty_token": ""}], "n": 1}
    kept = document_without_secrets(document)
    assert kept == {"a": [{"password": "***", "password_file": "/run/p", "empty_token": ""}], "n": 1}
