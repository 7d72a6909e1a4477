"""The committed stubs are what the protos generate today."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_committed_stubs_equal_freshly_generated_ones(tmp_path: Path) -> None:
    protos = sorted(str(p.relative_to(ROOT / "proto")) for p in (ROOT / "proto").rglob("*.proto"))
    subprocess.run(
        [
            *(sys.executable, "-m", "grpc_tools.protoc", "-I."),
            *(f"--{kind}={tmp_path}" for kind in ("python_out", "pyi_out", "grpc_python_out")),
            *protos,
        ],
        cwd=ROOT / "proto",
        check=True,
    )
    committed = {p.name: p.read_text() for p in (ROOT / "mmrec" / "v1").glob("*_pb2*")}
    assert committed, "no stubs are committed; run `make proto`"
    for name, text in committed.items():
        assert text == (tmp_path / "mmrec" / "v1" / name).read_text(), f"{name} is stale; run `make proto`"
    for proto in protos:
        assert Path(proto).stem + "_pb2.py" in committed
