"""`mmrec doctor --config` says before a start what the start would say, and what ends soon."""

import json
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mmrec.cli.checks import Check, Health, worst
from mmrec.cli.configuration_checks import check_configuration
from mmrec.cli.main import app
from tests.pki import Authority, needs_openssl, secret


def written(folder: Path, text: str) -> Path:
    file = folder / "mmrec.toml"
    file.write_text(text, encoding="utf-8")
    file.chmod(0o644)
    return file


def checks(folder: Path, text: str, *, reach: bool = False) -> list[Check]:
    return check_configuration(written(folder, text), now_s=time.time(), reach=reach)


def failures(found: list[Check]) -> list[str]:
    return [f"{check.name}: {check.found}" for check in found if check.health is Health.FAIL]


def test_the_defaults_are_well(tmp_path: Path) -> None:
    found = checks(tmp_path, "")
    assert worst(found) is Health.OK
    assert [check.name for check in found] == ["settings", "encryption"]


def test_an_impossible_value_is_named_and_nothing_else_is_looked_at(tmp_path: Path) -> None:
    (only,) = checks(tmp_path, "[kafka]\nnum_partitions = 0\n")
    assert (only.name, only.health) == ("settings", Health.FAIL)
    assert "line 2: kafka.num_partitions is 0" in only.found


def test_what_a_start_would_refuse_fails_and_what_was_allowed_is_said(tmp_path: Path) -> None:
    text = '[kafka]\nbootstrap = "broker:9092"\n[serving]\nrecommender = "0.0.0.0:1"\n'
    allowed = '[security]\nplaintext_allowed = ["recommender"]\n'
    found = checks(tmp_path, text + allowed)
    assert failures(found) == ["encryption: kafka.bootstrap leads to broker unencrypted; set kafka.tls"]
    (said,) = [check for check in found if check.health is Health.WARN]
    assert "serving.recommender" in said.found


def test_a_password_in_a_configuration_that_everybody_may_read_fails(tmp_path: Path) -> None:
    text = '[stores]\nonline_store = "redis"\nredis_connection = "127.0.0.1:1,password=s3cret"\n'
    (said,) = failures(checks(tmp_path, text))
    assert said.startswith("passwords: stores.redis_connection holds a password, and everybody may read")
    assert "s3cret" not in said
    file = written(tmp_path, text)
    file.chmod(0o600)
    (warned,) = [c for c in check_configuration(file, now_s=0.0) if c.name == "passwords"]
    assert warned.health is Health.WARN


def test_secrets_are_read_and_judged(tmp_path: Path) -> None:
    secret(tmp_path / "good", "s3cret")
    bad = tmp_path / "bad"
    bad.write_text("s3cret", encoding="utf-8")
    bad.chmod(0o644)
    text = (
        '[kafka]\nusername = "ann"\npassword_file = "good"\n'
        '[stores]\nredis_password_file = "bad"\nmilvus_token_file = "none"\n'
    )
    found = checks(tmp_path, text)
    assert [check.name for check in found].count("secrets") == 3
    first, second = failures(found)
    assert "stores.redis_password_file" in first
    assert "mode 0644" in first
    assert "stores.milvus_token_file" in second
    assert "cannot be read" in second


@needs_openssl
def test_certificates_are_judged_by_their_issuer_and_by_how_soon_they_end(tmp_path: Path) -> None:
    pki, stranger = Authority(tmp_path), Authority(tmp_path / "stranger")
    pki.issue("soon", days=3)
    pki.issue("long", days=25, usage="clientAuth")
    stranger.issue("other", days=25)
    text = (
        '[serving]\ncertificate_file = "soon.crt"\nkey_file = "soon.key"\n'
        'ca_file = "ca.crt"\nclient_ca_file = "ca.crt"\n'
        'client_certificate_file = "long.crt"\nclient_key_file = "long.key"\n'
        '[metrics]\ncertificate_file = "stranger/other.crt"\nkey_file = "stranger/other.key"\nca_file = "ca.crt"\n'
        '[kafka]\ntls = true\nca_file = "soon.key"\n'
    )
    found = [check for check in checks(tmp_path, text) if check.name == "certificates"]
    by_setting = {check.found.split(" ")[0].rstrip(":"): check for check in found}
    assert by_setting["serving.certificate_file"].health is Health.WARN
    assert by_setting["serving.client_certificate_file"].health is Health.OK
    assert by_setting["serving.ca_file"].health is Health.OK
    assert "unable to get local issuer" in by_setting["metrics.certificate_file"].found
    assert "it holds no certificates" in by_setting["kafka.ca_file"].found


def test_a_folder_whose_place_is_a_file_fails(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("", encoding="utf-8")
    (said,) = failures(checks(tmp_path, '[stores]\nevent_log = "state/log"\nreleases = "s3://bucket/releases"\n'))
    assert said.startswith("folders: stores.event_log is")
    assert said.endswith("is no folder")


def test_addresses_are_connected_to_only_where_that_is_asked_for(tmp_path: Path) -> None:
    text = '[kafka]\nbootstrap = "127.0.0.1:1"\n[stores]\nmilvus_uri = "http://127.0.0.1:1"\n'
    assert failures(checks(tmp_path, text)) == []
    said = failures(checks(tmp_path, text, reach=True))
    assert [each.split(": ")[1] for each in said] == ["kafka.bootstrap", "stores.milvus_uri"]


@pytest.mark.parametrize(("text", "status"), [("", 0), ('[kafka]\nbootstrap = "broker:9092"\n', 1)])
def test_the_command_says_it_to_machines_and_ends_with_a_status(text: str, status: int, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["doctor", "--config", str(written(tmp_path, text)), "--json"])
    assert done.exit_code == status, done.output
    assert {check["name"] for check in json.loads(done.stdout)} >= {"settings", "encryption"}
