"""What all tests share: the fixtures of tests/servers.py, and property tests that no slow machine can fail."""

from hypothesis import settings

pytest_plugins = ["tests.servers"]
settings.register_profile("house", deadline=None)
settings.load_profile("house")
