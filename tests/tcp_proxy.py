"""A proxy before a real server, for tests of what happens when the server, or the way to it, fails.

with TcpProxy(port) as proxy:
    proxy.manner = Manner.SWALLOW
    ...
    assert proxy.num_accepted == 1
"""

import contextlib
import select
import socket
import ssl
import struct
import threading
import time
from enum import Enum
from types import TracebackType

from services.stack.ports import HOST


class Manner(Enum):
    """What becomes of bytes and connections."""

    PASS = "pass"
    """Both ways, at once."""
    REFUSE = "refuse"
    """Nobody listens, and connections that stand are reset."""
    RESET = "reset"
    """Connections are taken and reset at once, so that tries can be counted."""
    SWALLOW = "swallow"
    """Connections are taken, and what the client says is read and lost: nothing ever answers."""
    DELAY = "delay"
    """Each answer comes `delay_s` late."""
    HALF_OPEN = "half open"
    """Connections that stand are not closed and not read; new ones are taken by nobody but the system."""


class TcpProxy:
    """Listens on a port of its own and counts what comes."""

    def __init__(self, port: int, *, delay_s: float = 0.7, tls: ssl.SSLContext | None = None) -> None:
        """Before the server at `port` of the loopback address.

        Args:
            tls: Clients must speak TLS; the server behind is spoken to without. The manner is then always PASS.
        """
        self.delay_s, self._tls = delay_s, tls
        self.num_accepted = 0
        self.num_requests = 0
        """Pieces of bytes that clients sent; a client that sends one command at a time sends one piece for each."""
        self.server_port = port
        self._manner = Manner.PASS
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._listener: socket.socket | None = None
        self._closing = threading.Event()
        self.port = self._listen(0)

    @property
    def address(self) -> str:
        """host:port to give to clients."""
        return f"{HOST}:{self.port}"

    @property
    def manner(self) -> Manner:
        """What is done now."""
        return self._manner

    @manner.setter
    def manner(self, manner: Manner) -> None:
        before, self._manner = self._manner, manner
        if manner is Manner.REFUSE:
            self._stop_listening()
        if manner in (Manner.REFUSE, Manner.RESET):
            self._cut()
        if before is Manner.REFUSE and manner is not Manner.REFUSE:
            self._listen(self.port)

    def __enter__(self) -> "TcpProxy":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._stop_listening()
        self._cut()

    def cut(self) -> None:
        """Reset the connections that stand, as a server does that was killed; new ones are taken."""
        self._cut()

    def _listen(self, port: int) -> int:
        listener = socket.create_server((HOST, port), backlog=16, reuse_port=False)
        listener.settimeout(0.05)
        self._listener = listener
        self._accepting = threading.Thread(target=self._accept, args=(listener,), daemon=True)
        self._accepting.start()
        return int(listener.getsockname()[1])

    def _stop_listening(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            self._accepting.join()  # as long as it looks, the system keeps the port
            listener.close()

    def _cut(self) -> None:
        pairs, self._pairs = self._pairs, []
        for client, server in pairs:
            _reset(client)
            _reset(server)

    def _accept(self, listener: socket.socket) -> None:
        while not self._closing.is_set() and listener is self._listener:
            if self._manner is Manner.HALF_OPEN:
                time.sleep(0.01)
                continue
            try:
                client, _ = listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            client.settimeout(None)
            self.num_accepted += 1
            if self._manner is Manner.RESET:
                _reset(client)
                continue
            server = socket.create_connection((HOST, self.server_port))
            if self._tls is not None:
                threading.Thread(target=self._carry_tls, args=(client, server, self._tls), daemon=True).start()
                continue
            self._pairs.append((client, server))
            threading.Thread(target=self._carry, args=(client, server, True), daemon=True).start()
            threading.Thread(target=self._carry, args=(server, client, False), daemon=True).start()

    def _carry_tls(self, client: socket.socket, server: socket.socket, tls: ssl.SSLContext) -> None:
        """Both ways in one thread: two may not use a TLS connection at the same time."""
        client.settimeout(10.0)
        with server, contextlib.suppress(OSError), tls.wrap_socket(client, server_side=True) as secured:
            while not self._closing.is_set():
                ready, _, _ = select.select([] if secured.pending() else [secured, server], [], [], 0.1)
                for source, target in ((secured, server), (server, secured)):
                    if source in ready or (source is secured and secured.pending()):
                        data = source.recv(1 << 16)
                        if not data:
                            return
                        target.sendall(data)

    def _carry(self, source: socket.socket, target: socket.socket, is_request: bool) -> None:
        while True:
            while self._manner is Manner.HALF_OPEN and not self._closing.is_set():
                time.sleep(0.01)
            try:
                data = source.recv(1 << 16)
            except OSError:
                return
            if not data:
                with contextlib.suppress(OSError):
                    target.shutdown(socket.SHUT_WR)
                return
            self.num_requests += is_request
            if self._manner in (Manner.SWALLOW, Manner.HALF_OPEN):
                continue
            if self._manner is Manner.DELAY and not is_request:
                time.sleep(self.delay_s)
            with contextlib.suppress(OSError):
                target.sendall(data)


def _reset(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RD)  # wakes the thread that reads it
    connection.close()
