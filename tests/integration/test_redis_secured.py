"""Redis with TLS, an access list and a password file: every client of ours logs in, and no file shows the password."""

import ssl
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from feature_repo.apply import apply_repository
from mmrec.collecting.overlay import OverlayEntry
from mmrec.config import Settings, StoreSettings
from mmrec.errors import ConfigurationError, StoreError
from mmrec.features.values import PopularItems, StreamProgress
from mmrec.scoring.source import Source
from mmrec.stores.writer_right import take_writer_right
from mmrec.wiring import open_feature_store, open_overlay
from services.stack.ports import any_free
from tests.pki import Authority, needs_openssl, secret
from tests.redis_server import start_redis
from tests.tcp_proxy import TcpProxy

pytestmark = [pytest.mark.integration, needs_openssl]
NOW_S = 1_760_000_000.0
PASSWORD = '0123, "pass=word\\'
"""All digits or a comma would end it in the form that Feast reads."""
ALLOWED = "~* &* +@all -@dangerous -@admin +info +config|get +scan +keys"


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def server(pki: Authority, stack_id: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """host:port of a Redis that knows one user, behind TLS that asks for certificates: the packaged one has none."""
    folder, issued, (port,) = tmp_path_factory.mktemp("redis"), pki.issue("redis"), any_free(1)
    acl, digest = folder / "users.acl", sha256(PASSWORD.encode()).hexdigest()
    acl.write_text(f"user default off\nuser mmrec on #{digest} {ALLOWED}\n", encoding="utf-8")
    process = start_redis(port, folder, "--aclfile", str(acl), stack_id=stack_id)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=pki.certificate)
    tls.verify_mode = ssl.CERT_REQUIRED
    tls.load_cert_chain(issued.certificate, issued.key)
    with TcpProxy(port, tls=tls) as proxy:
        yield proxy.address
    process.terminate()
    process.wait(20)


@pytest.fixture
def settings(server: str, pki: Authority, tmp_path: Path) -> Settings:
    issued = pki.issue("client", usage="clientAuth")
    stores = StoreSettings(
        feature_repo=str(tmp_path / "repo"),
        online_store="redis",
        redis_connection=server,
        redis_tls=True,
        redis_ca_file=pki.certificate,
        redis_certificate_file=issued.certificate,
        redis_key_file=issued.key,
        redis_username="mmrec",
        redis_password_file=secret(tmp_path / "password", PASSWORD),
    )
    return Settings(stores=stores)


def test_feast_rows_lease_and_overlay_log_in_and_no_file_shows_the_password(settings: Settings) -> None:
    apply_repository(settings.stores, settings.scoring.decay_per_day)
    with take_writer_right(settings.stores) as right:
        store = open_feature_store(settings, lease=right.holder)
        progress = StreamProgress(marks={Source("c", "t", 0): 7}, newest_ingest_time_s=NOW_S)
        store.write_profiles({}, write_time_s=NOW_S, progress=progress)
        assert open_feature_store(settings, wait_s=5.0).read_progress() == progress  # below Feast
        popular = PopularItems(item_ids=("i1",), popularity_K=np.array([1.0]), as_of_s=NOW_S)
        store.write_popular("", popular, write_time_s=NOW_S)
        found = store.read_popular("")  # through Feast
        assert found is not None
        assert found.item_ids == ("i1",)
    overlay = open_overlay(settings, wait_s=5.0)
    overlay.add([OverlayEntry("ann", Source("c", "t", 0), 8, "cart", "i1", "e1", NOW_S, NOW_S, NOW_S)])
    assert len(overlay.read(["ann"])["ann"]) == 1
    written = [path for path in Path(settings.stores.feature_repo).rglob("*") if path.is_file()]
    assert written
    assert [path.name for path in written if b"pass=word" in path.read_bytes()] == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"redis_username": "nobody"}, "AuthenticationError|WRONGPASS"),
        ({"redis_tls": False, "redis_ca_file": "", "redis_certificate_file": "", "redis_key_file": ""}, "Error"),
        ({"redis_certificate_file": "", "redis_key_file": ""}, "Error"),
    ],
)
def test_another_user_no_tls_or_no_certificate_is_refused_and_quotes_no_password(
    changes: dict[str, object], said: str, settings: Settings
) -> None:
    overlay = open_overlay(replace(settings, stores=replace(settings.stores, **changes)), wait_s=5.0)
    with pytest.raises(StoreError, match=said) as caught:
        overlay.read(["ann"])
    assert "pass=word" not in str(caught.value)


def test_a_server_of_another_authority_is_refused(settings: Settings, tmp_path: Path) -> None:
    stranger = Authority(tmp_path / "stranger")
    stores = replace(settings.stores, redis_ca_file=stranger.certificate)
    with pytest.raises(StoreError, match=r"(?i)certificate.verify.failed"):
        open_overlay(replace(settings, stores=stores), wait_s=5.0).read(["ann"])


def test_a_renewed_password_is_used_at_the_next_connection_and_one_that_everybody_reads_never(
    settings: Settings, tmp_path: Path
) -> None:
    secret(tmp_path / "password", "wrong")
    with pytest.raises(StoreError):
        open_overlay(settings, wait_s=5.0).read(["ann"])
    overlay = open_overlay(settings, wait_s=5.0)
    secret(tmp_path / "password", PASSWORD)
    assert overlay.read(["nobody"]) == {}
    (tmp_path / "password").chmod(0o644)
    with pytest.raises(ConfigurationError, match=r"stores\.redis_password_file is .*mode 0644"):
        open_overlay(settings, wait_s=5.0).read(["ann"])
