"""The text that names a Redis is read as Feast reads it, so both talk to the same server."""

import pytest

from mmrec.errors import ConfigurationError
from mmrec.stores.redis.connection import parse_connection


@pytest.mark.parametrize(
    "text",
    [
        "localhost:6379",
        "redis.shop:7000,db=2,ssl=true",
        "redis.shop:7000,username=ann,password=s=cret",
        "a:1,b:2,password=x,skip_full_coverage_check=true",
    ],
)
def test_a_connection_is_read_as_feast_reads_it(text: str) -> None:
    from mmrec.stores.feast.engine import feast  # noqa: F401 - the package, without what takes most of its start

    from feast.infra.online_stores.redis import RedisOnlineStore  # isort: skip

    nodes, options = RedisOnlineStore._parse_connection_string(text)
    found = parse_connection(text)
    assert found.nodes == tuple((node["host"], int(node["port"])) for node in nodes)
    assert found.options == options


def test_a_password_of_digits_is_a_text() -> None:
    assert parse_connection("h:1,password=0123,username=7").options == {"password": "0123", "username": "7"}


@pytest.mark.parametrize("text", ["", "host", "host:port", ":6379", "password=x"])
def test_a_connection_without_host_and_port_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="redis_connection is not host:port"):
        parse_connection(text)
