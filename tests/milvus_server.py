"""A Milvus server for tests: not Milvus Lite, but the real one, where MMREC_TEST_MILVUS says which.

MMREC_TEST_MILVUS=http://127.0.0.1:19530       one that runs; tests drop every collection they find there
MMREC_TEST_MILVUS=/path/to/folder              a folder with the package `milvus` (a virtual environment, or what
                                               `uv pip install --target FOLDER milvus==2.3.5` filled); it is started
"""

import os
import subprocess
import sys
import time
from pathlib import Path

from mmrec.errors import StoreError
from mmrec.stores.milvus import MilvusVectorStore
from services.stack.guard import child_environment
from services.stack.ports import HOST, any_free, wait_open

VARIABLE = "MMREC_TEST_MILVUS"
_START_S = 180.0


def named_milvus() -> str:
    """What MMREC_TEST_MILVUS names; empty where it names nothing."""
    return os.environ.get(VARIABLE, "")


def start_milvus(place: str, folder: Path, *, stack_id: str) -> str:
    """Start the server of an installed package and return its address once it answers.

    Args:
        place: Folder the package is in.
        folder: For its data and logs.
        stack_id: Whose guard ends it.

    Raises:
        FileNotFoundError: there is no such package.
        RuntimeError: it ended, or does not answer within three minutes.
    """
    port = any_free(1)[0]
    log = folder / "milvus.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            # Its own program's first line names the interpreter of its environment, which may be gone.
            [
                *(sys.executable, "-c", "from milvus import main; main()"),
                *("--data", str(folder / "data"), "--proxy-port", str(port), "--etcd-log-level", "error"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**child_environment(stack_id), "PYTHONPATH": str(_package_folder(Path(place)))},
            start_new_session=True,
        )
    uri = f"http://{HOST}:{port}"
    if not wait_open(port, timeout_s=_START_S, alive=lambda: process.poll() is None) or not _answers(uri):
        raise RuntimeError(f"no Milvus at {uri}: {log.read_text(errors='replace')[-2_000:]}")
    return uri


def _package_folder(place: Path) -> Path:
    for folder in (place, *place.glob("lib/python*/site-packages")):
        if (folder / "milvus" / "__init__.py").is_file():
            return folder
    raise FileNotFoundError(f"{VARIABLE} is {str(place)!r}, which has no package `milvus`; install milvus==2.3.5 there")


def _answers(uri: str) -> bool:
    """Whether it answers in time: the port is open long before the parts behind it are."""
    give_up_s = time.monotonic() + _START_S
    while time.monotonic() < give_up_s:
        try:
            MilvusVectorStore(uri, timeout_s=5.0).collections()
        except StoreError:
            time.sleep(1.0)
        else:
            return True
    return False
