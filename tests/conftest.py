"""What all tests share: the fixtures of tests/servers.py."""

pytest_plugins = ["tests.servers"]
