"""The embedded vector server answers several processes at once."""

import subprocess
import sys
import uuid

import numpy as np
import pytest

from mmrec.stores.milvus import MilvusVectorStore

pytestmark = pytest.mark.integration
LIST = "import sys, pymilvus; print(*pymilvus.MilvusClient(uri=sys.argv[1]).list_collections())"


def test_another_process_sees_what_this_one_wrote(milvus_uri: str) -> None:
    store, name = MilvusVectorStore(milvus_uri), f"c{uuid.uuid4().hex[:8]}"
    store.create_collection(name, ["a"], np.ones((1, 8), np.float32), {})
    try:
        command = [sys.executable, "-c", LIST, milvus_uri]
        listed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout.split()
        assert name in listed
    finally:
        store.drop(name)
