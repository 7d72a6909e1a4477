"""Feast is imported without what takes most of its start, and nothing else is changed by that."""

import subprocess
import sys

LOOK = """
import sys, typeguard
checked = typeguard.typechecked
import mmrec.stores.feast.store
assert "feast" in sys.modules
assert "torch" not in sys.modules, "torch was loaded"
assert typeguard.typechecked is checked
from feast import FeatureView
assert not hasattr(FeatureView.__init__, "__wrapped__")
from feast.torch_wrapper import get_torch
assert get_torch().tensor([1.0]).item() == 1.0
"""


def test_the_feature_store_is_loaded_without_torch_which_is_there_when_asked_for() -> None:
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", LOOK], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
