"""The right to write profiles in Redis: a lease with an epoch, so that a writer that was thought dead does no harm.

    with take_lease(client) as lease:          waits until a dead holder's lease has expired
        rows = RedisProfileRows(layout, lease=lease.holder)

The lease expires LEASE_S after its last renewal. Every holder has its own epoch, one above that of the holder before.
Writes happen only while the lease still names that epoch (mmrec/stores/redis/profile_rows.py).

A Redis that was restarted (from an older dump), or that replaced another one (a replica that was behind), may lack the
newest writes and still hold the lease. Anything written on top would hide what is missing. So a holder names the run of
the server that gave it the lease, and connections for writing are made to that run only.
"""

import threading
import time
import uuid
from collections.abc import Callable
from typing import Any, Final

from redis.cluster import RedisCluster
from redis.exceptions import AuthenticationError, ConnectionError, RedisClusterException, RedisError, TimeoutError

from mmrec.errors import StoreError, UnreachableError
from mmrec.telemetry.logs import get_logger

log = get_logger(__name__)
LEASE_KEY: Final = b"mmrec:writer-lease"
EPOCH_KEY: Final = b"mmrec:writer-epoch"
BATCH_KEY: Final = b"mmrec:writer-batch"
"""Names the micro-batch that partitions are writing profiles of."""
LEASE_S: Final = 6.0
RENEW_S: Final = 1.5
_POLL_S: Final = 0.25
# Compare and renew, compare and release: each is one step of the server.
_RENEW: Final = "return redis.call('get', KEYS[1]) == ARGV[1] and redis.call('pexpire', KEYS[1], ARGV[2]) or 0"
_GIVE_BACK: Final = "return redis.call('get', KEYS[1]) == ARGV[1] and redis.call('del', KEYS[1]) or 0"


class LeaseLostError(StoreError):
    """Another writer took over."""

    def __init__(self, holder: bytes) -> None:
        super().__init__(
            f"the writer's lease {holder.decode()} holds no more: another writer has it, or Redis was started again; "
            "this writer stops"
        )


class StaleBatchError(StoreError):
    """A later micro-batch is being written."""

    def __init__(self, batch: bytes) -> None:
        super().__init__(f"profiles of micro-batch {batch.decode()} are written no more: a later one has begun")


class WriterLease:
    """A held lease; a thread renews it."""

    def __init__(self, client: Any, *, epoch: int, holder: bytes) -> None:
        self.epoch = epoch
        self.holder = holder
        self._client = client
        self._stopping = threading.Event()
        self._lost = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="writer-lease", daemon=True)
        self._thread.start()

    @property
    def lost(self) -> bool:
        """Whether another writer was seen to hold it, or the server was seen to have restarted."""
        return self._lost.is_set()

    def close(self) -> None:
        """Release it."""
        self._stopping.set()
        self._thread.join(2 * RENEW_S)
        try:
            self._client.eval(_GIVE_BACK, 1, LEASE_KEY, self.holder)
        except RedisError as error:
            log.warning("lease_not_given_back", error=repr(error))

    def __enter__(self) -> "WriterLease":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _renew(self) -> None:
        while not self._stopping.wait(RENEW_S):
            try:
                renewed = self._client.eval(_RENEW, 1, LEASE_KEY, self.holder, int(LEASE_S * 1000))
                if not renewed or server_run(self._client) != server_of(self.holder):
                    log.error("lease_lost", epoch=self.epoch)
                    self._lost.set()
                    return
            except (RedisError, RedisClusterException) as error:  # if this goes on the lease expires, and writes fail
                log.warning("lease_not_renewed", error=repr(error))


def server_run(client: Any) -> str:
    """Id of this run of the server; "" for a cluster, which has many."""
    return "" if isinstance(client, RedisCluster) else str(client.info("server").get("run_id", ""))


def server_of(lease: bytes) -> str:
    """The run of the server that gave the lease."""
    return lease.decode().rpartition(":")[2]


def connect_to_server_of(lease: bytes) -> Callable[[Any], None]:
    """Called by Redis's client for each new connection: LeaseLostError where it leads to another run of the server."""
    server = server_of(lease).encode()

    def on_connect(connection: Any) -> None:
        connection.on_connect()
        connection.send_command("INFO", "server")
        if b"run_id:" + server not in connection.read_response():
            connection.disconnect()
            raise LeaseLostError(lease)

    return on_connect


def lease_failure(error: RedisError) -> StoreError:
    """Why there is no lease; UnreachableError where Redis may answer later."""
    is_away = isinstance(error, ConnectionError | TimeoutError) and not isinstance(error, AuthenticationError)
    kind = UnreachableError if is_away else StoreError
    return kind(f"the writer's lease could not be taken: {type(error).__name__}: {error}")


def take_lease(client: Any, *, wait_s: float = 3 * LEASE_S) -> WriterLease:
    """Take the lease, waiting until that of a dead writer has expired.

    Raises:
        StoreError: another writer still renews it after `wait_s`.
        UnreachableError: Redis does not answer.
    """
    give_up_s = time.monotonic() + wait_s
    try:
        epoch = int(client.incr(EPOCH_KEY))
        holder = f"{epoch}:{uuid.uuid4().hex}:{server_run(client)}".encode()
        while not client.set(LEASE_KEY, holder, nx=True, px=int(LEASE_S * 1000)):
            if time.monotonic() > give_up_s:
                other = (client.get(LEASE_KEY) or b"").decode()
                raise StoreError(f"another score_stream writes the profiles (lease {other}); stop it first")
            time.sleep(_POLL_S)
    except RedisError as error:
        raise lease_failure(error) from error
    return WriterLease(client, epoch=epoch, holder=holder)
