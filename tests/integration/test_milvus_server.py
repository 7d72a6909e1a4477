"""The embedded vector server answers."""

import pytest
from pymilvus import MilvusClient

pytestmark = pytest.mark.integration


def test_a_client_of_another_process_can_list_collections(milvus_uri: str):
    client = MilvusClient(uri=milvus_uri)
    try:
        assert isinstance(client.list_collections(), list)
    finally:
        client.close()
