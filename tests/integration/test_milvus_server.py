"""The vector server, Lite's and the real one: several processes at once, outages, logins."""

import subprocess
import sys
import uuid
from pathlib import Path

import numpy as np
import pytest

from mmrec.errors import ConfigurationError, StoreError
from mmrec.stores.milvus import MilvusSecurity, MilvusVectorStore
from tests.tcp_proxy import Manner, TcpProxy

pytestmark = pytest.mark.integration
LIST = "import sys, pymilvus; print(*pymilvus.MilvusClient(uri=sys.argv[1]).list_collections())"


def test_another_process_sees_what_this_one_wrote(any_milvus: str) -> None:
    store, name = MilvusVectorStore(any_milvus), f"c{uuid.uuid4().hex[:8]}"
    store.create_collection(name, ["a"], np.ones((1, 8), np.float32), {})
    try:
        command = [sys.executable, "-c", LIST, any_milvus]
        listed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout.split()
        assert name in listed
    finally:
        store.drop(name)


@pytest.mark.parametrize("manner", [Manner.SWALLOW, Manner.HALF_OPEN, Manner.RESET, Manner.REFUSE])
def test_a_server_that_goes_away_fails_a_call_and_is_used_again_when_it_is_back(
    any_milvus: str, manner: Manner
) -> None:
    with TcpProxy(int(any_milvus.rpartition(":")[2])) as proxy:
        store, name = MilvusVectorStore(f"http://{proxy.address}", timeout_s=2.0), f"c{uuid.uuid4().hex[:8]}"
        proxy.manner = manner
        with pytest.raises(StoreError, match="collections were not listed"):
            store.collections()
        with pytest.raises(StoreError, match="was not described"):
            store.search(name, np.ones((1, 8), np.float32), num_results=1)
        proxy.manner = Manner.PASS
        proxy.cut()
        again = MilvusVectorStore(f"http://{proxy.address}", timeout_s=20.0)
        assert name not in again.collections()


def test_no_server_is_said_without_the_login_of_the_address() -> None:
    with pytest.raises(StoreError, match=r"no Milvus at 127\.0\.0\.1:1:") as caught:
        MilvusVectorStore("http://root:s3cret@127.0.0.1:1", timeout_s=0.5)
    assert "s3cret" not in str(caught.value)


def test_a_token_that_everybody_may_read_is_refused(milvus_uri: str, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("root:s3cret", encoding="utf-8")
    token.chmod(0o644)
    with pytest.raises(ConfigurationError, match=r"stores\.milvus_token_file is .*mode 0644"):
        MilvusVectorStore(milvus_uri, secured=MilvusSecurity(token_file=str(token)))
