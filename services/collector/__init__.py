"""The gRPC collector."""

import os

# gRPC reads this when it is first imported, so it stands here. Its newer poller hands every message from thread to
# thread; with the older one the thread that waits for messages reads them itself, at two thirds of the cost.
os.environ.setdefault(
    "GRPC_EXPERIMENTS", "-event_engine_listener,-event_engine_client,-event_engine_for_all_other_endpoints"
)
