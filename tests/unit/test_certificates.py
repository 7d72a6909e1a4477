"""Certificates are judged by the handshake they are for, and renewed ones are used without a restart."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from mmrec.client import RecommenderClient
from mmrec.config import MetricsSettings, ServingSettings
from mmrec.connections.certificates import CertificateFiles, Role, authorities_end_s
from mmrec.connections.grpc_credentials import client_channel, server_credentials
from mmrec.errors import ConfigurationError
from mmrec.operating.observed import observe
from mmrec.telemetry.metrics import Metrics
from mmrec.telemetry.metrics_endpoint import serve_metrics
from services.stack.ports import HOST, any_free, wait_open
from tests.pki import Authority, Issued, needs_openssl

pytestmark = needs_openssl


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("stranger"), "stranger")


def files_of(issued: Issued, **changes: str) -> CertificateFiles:
    values = {"certificate_file": issued.certificate, "key_file": issued.key, **changes}
    certificate_file, key_file = values.pop("certificate_file"), values.pop("key_file")
    return CertificateFiles(certificate_file, key_file, setting="serving.certificate_file", **values)


def test_a_certificate_ends_when_its_issuer_said(pki: Authority) -> None:
    for role in Role:
        ends_s = files_of(pki.issue("server", days=40)).check(role, issuer_file=pki.certificate)
        assert 39.9 < (ends_s - time.time()) / 86_400 < 40.1
    assert 29.9 < (authorities_end_s(pki.certificate, setting="kafka.ca_file") - time.time()) / 86_400 < 30.1


@pytest.mark.parametrize(
    ("usage", "days", "role", "said"),
    [
        ("serverAuth", -1, Role.SERVER, "as a server it is refused: certificate has expired"),
        ("clientAuth", 5, Role.SERVER, "as a server it is refused: unsuitable certificate purpose"),
        ("serverAuth", 5, Role.CLIENT, "as a client it is refused: unsuitable certificate purpose"),
    ],
)
def test_a_certificate_that_others_would_refuse_is_refused_with_their_reason(
    usage: str, days: int, role: Role, said: str, pki: Authority
) -> None:
    issued = pki.issue("odd", usage=usage, days=days)
    with pytest.raises(ConfigurationError) as caught:
        files_of(issued).check(role, issuer_file=pki.certificate)
    assert str(caught.value) == f"serving.certificate_file: {issued.certificate!r}: {said}"


def test_a_certificate_of_another_issuer_is_refused(pki: Authority, stranger: Authority) -> None:
    with pytest.raises(ConfigurationError, match="as a server it is refused: unable to get local issuer"):
        files_of(stranger.issue("server")).check(Role.SERVER, issuer_file=pki.certificate)


def test_a_key_that_is_not_the_certificates_or_not_private_is_refused(pki: Authority, tmp_path: Path) -> None:
    issued, other = pki.issue("server"), pki.issue("other")
    with pytest.raises(ConfigurationError, match="it does not go with"):
        files_of(issued, key_file=other.key).check(Role.SERVER)
    seen = tmp_path / "seen.key"
    seen.write_bytes(Path(issued.key).read_bytes())
    seen.chmod(0o644)
    with pytest.raises(ConfigurationError, match="mode 0644"):
        files_of(issued, key_file=str(seen)).check(Role.SERVER)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        files_of(issued, key_file=str(tmp_path / "none.key")).check(Role.SERVER)
    with pytest.raises(ConfigurationError, match="it holds no certificates"):
        authorities_end_s(issued.key, setting="kafka.ca_file")
    with pytest.raises(ConfigurationError, match="none of its certificates is an authority"):
        authorities_end_s(issued.certificate, setting="kafka.ca_file")


def is_served(serving: ServingSettings) -> bool:
    with RecommenderClient(
        serving.collector, timeout_s=20.0, channel=client_channel(serving.collector, serving)
    ) as client:
        return client.is_serving()


async def _serving(settings: ServingSettings, told: list[str], work: Callable[[ServingSettings], None]) -> None:
    server = grpc.aio.server()
    healthy = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(healthy, server)
    credentials = server_credentials(settings, told=lambda event, what: told.append(event))
    port = server.add_secure_port(f"{HOST}:0", credentials)
    await server.start()
    await healthy.set("", health_pb2.HealthCheckResponse.SERVING)
    try:
        await asyncio.to_thread(work, replace(settings, collector=f"{HOST}:{port}"))
    finally:
        await server.stop(0)


def secured(pki: Authority, issued: Issued, client: Issued | None) -> ServingSettings:
    shown = {} if client is None else {"client_certificate_file": client.certificate, "client_key_file": client.key}
    return ServingSettings(
        certificate_file=issued.certificate,
        key_file=issued.key,
        client_ca_file=pki.certificate,
        ca_file=pki.certificate,
        **shown,
    )


def test_only_callers_with_a_certificate_of_ours_are_answered(pki: Authority, stranger: Authority) -> None:
    settings = secured(pki, pki.issue("server"), pki.issue("caller", usage="clientAuth"))
    forged = stranger.issue("caller", usage="clientAuth")

    def work(serving: ServingSettings) -> None:
        assert is_served(serving)
        assert not is_served(replace(serving, client_certificate_file="", client_key_file=""))
        assert not is_served(replace(serving, client_certificate_file=forged.certificate, client_key_file=forged.key))
        assert not is_served(replace(serving, ca_file=stranger.certificate))
        with RecommenderClient(serving.collector, timeout_s=20.0) as plain:
            assert not plain.is_serving()

    asyncio.run(_serving(settings, [], work))


def test_renewed_files_are_used_at_the_next_connection_and_broken_ones_are_not(
    pki: Authority, stranger: Authority, tmp_path: Path
) -> None:
    first, second = pki.issue("server"), stranger.issue("server")
    own = Issued(str(tmp_path / "tls.crt"), str(tmp_path / "tls.key"))

    def put(certificate: str, key: str) -> None:
        for source, target in ((certificate, own.certificate), (key, own.key)):
            fresh = Path(f"{target}.new")
            fresh.write_bytes(Path(source).read_bytes())
            fresh.chmod(0o600)
            fresh.replace(target)

    put(*first)
    settings = replace(secured(pki, own, None), client_ca_file="")
    told: list[str] = []

    def work(serving: ServingSettings) -> None:
        renewed = replace(serving, ca_file=stranger.certificate)
        assert (is_served(serving), is_served(renewed)) == (True, False)
        put(second.certificate, first.key)
        assert (is_served(serving), is_served(renewed)) == (True, False)
        assert told == ["certificate_not_renewed"]
        with RecommenderClient(serving.collector, channel=client_channel(serving.collector, serving)) as standing:
            assert standing.is_serving()
            put(*second)
            assert (is_served(serving), is_served(renewed)) == (False, True)
            assert standing.is_serving()
        assert told == ["certificate_not_renewed", "certificate_renewed"]

    asyncio.run(_serving(settings, told, work))


def test_a_server_without_a_certificate_is_plain_and_one_with_a_bad_one_does_not_start(pki: Authority) -> None:
    assert server_credentials(ServingSettings()) is None
    expired = pki.issue("server", days=-1)
    with pytest.raises(ConfigurationError, match="certificate has expired"):
        server_credentials(ServingSettings(certificate_file=expired.certificate, key_file=expired.key))


def test_metrics_are_read_by_tls_with_a_certificate_and_a_silent_reader_holds_up_nobody(pki: Authority) -> None:
    issued, (port,) = pki.issue("metrics"), any_free(1)
    settings = MetricsSettings(
        collector=f"{HOST}:{port}",
        certificate_file=issued.certificate,
        key_file=issued.key,
        client_ca_file=pki.certificate,
        ca_file=pki.certificate,
    )
    endpoint = serve_metrics(Metrics("collector"), settings)
    assert wait_open(port, timeout_s=30, alive=lambda: True)
    with socket.create_connection((HOST, port)):
        wait_for(lambda: observe(settings, interval_s=0, sleep=lambda s: None).processes == ("collector",))
    assert observe(MetricsSettings(collector=f"{HOST}:{port}"), interval_s=0, sleep=lambda s: None).processes == ()
    endpoint.close()


def wait_for(condition: Callable[[], bool]) -> None:
    waiting = threading.Event()
    for _ in range(200):
        if condition():
            return
        waiting.wait(0.05)
    raise AssertionError("it did not come about")
