"""Feast, imported so that programs start CPU-seconds sooner (mmrec/stores/feast/insides.py); import it from here."""

from typing import Any

from mmrec.stores.feast.insides import import_feast

feast: Any = import_feast()

from feast.protos.feast.types.EntityKey_pb2 import EntityKey  # noqa: E402
from feast.protos.feast.types.Value_pb2 import DoubleList, FloatList, StringList, Value  # noqa: E402

__all__ = ["DoubleList", "EntityKey", "FloatList", "StringList", "Value", "feast"]
