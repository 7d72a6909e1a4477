"""The support bundle: one file, every part or the reason why not, and no secret in any of it."""

import json
import tarfile
from pathlib import Path

import pytest

from mmrec.cli.main import main
from mmrec.cli.support_bundle import write_bundle
from mmrec.errors import NotFoundError
from services.stack.ports import any_free


def contents(file: Path) -> dict[str, str]:
    with tarfile.open(file) as bundle:
        return {
            member.name.partition("/")[2]: extracted.read().decode()
            for member in bundle.getmembers()
            if (extracted := bundle.extractfile(member)) is not None
        }


def test_a_part_that_cannot_be_had_is_there_as_its_reason(tmp_path: Path) -> None:
    def away() -> str:
        raise NotFoundError("no endpoint answers")

    target = tmp_path / "b.tar.gz"
    missing = write_bundle(target, [("a.txt", lambda: "fine"), ("m/b.txt", away)], made_s=1_000.0)
    assert missing == ["m/b.txt"]
    assert contents(target) == {"a.txt": "fine", "m/b.txt.error.txt": "NotFoundError: no endpoint answers\n"}
    assert target.stat().st_mode & 0o077 == 0


def test_no_part_of_a_bundle_holds_a_secret_wherever_it_stood(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kafka, milvus, admin, redis = any_free(4)
    config = tmp_path / "mmrec.toml"
    config.write_text(
        f'[kafka]\nbootstrap = "127.0.0.1:{kafka}"\n[serving]\nadmin = "127.0.0.1:{admin}"\n'
        f'[stores]\nonline_store = "redis"\nredis_connection = "127.0.0.1:{redis},password=hunter2"\n'
        f'milvus_uri = "http://root:hunter2@127.0.0.1:{milvus}"\n',
        encoding="utf-8",
    )
    home = tmp_path / "home"
    (home / "logs").mkdir(parents=True)
    line = {"event": "connecting", "to": "redis://ann:hunter2@h:1", "query": "token=hunter2"}
    (home / "logs" / "collector.log").write_text(json.dumps(line) + "\n", encoding="utf-8")
    monkeypatch.setenv("MMREC_HOME", str(home))
    target = tmp_path / "bundle.tar.gz"
    with pytest.raises(SystemExit) as ended:
        main(["support-bundle", "--config", str(config), "--out", str(target)])
    assert (ended.value.code or 0) == 0, capsys.readouterr().err
    found = contents(target)
    assert {"configuration.json", "versions.json", "engines.json", "doctor.json", "logs/collector.log"} <= set(found)
    assert [name for name, text in found.items() if "hunter2" in text] == []
    assert "connecting" in found["logs/collector.log"]
    assert "numpy" in found["versions.json"]
    assert "acts.json.error.txt" in found  # no broker
