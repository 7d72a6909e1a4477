"""TLS of our own gRPC services, and of the calls to them.

    credentials = server_credentials(settings.serving)              None: the port is plain
    channel = client_channel(settings.serving.collector, settings.serving)

A server reads renewed files at the next connection: no restart, and connections that stand go on. Files that do not
belong together, such as while they are being written, are not taken; the ones before stay in use.
"""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import grpc

from mmrec.connections.certificates import CertificateFiles, Role
from mmrec.errors import ConfigurationError

Told = Callable[[str, str], None]
"""(event, what happened): a line for the log."""
ChannelOptions = Sequence[tuple[str, int | str]]


class ServingFiles(Protocol):
    """What [serving] says; read only."""

    @property
    def certificate_file(self) -> str: ...
    @property
    def key_file(self) -> str: ...
    @property
    def client_ca_file(self) -> str: ...
    @property
    def ca_file(self) -> str: ...
    @property
    def client_certificate_file(self) -> str: ...
    @property
    def client_key_file(self) -> str: ...


def server_credentials(serving: ServingFiles, *, told: Told = lambda event, what: None) -> Any | None:
    """Credentials of a server, which follow renewed files; None where no certificate is configured.

    Raises:
        ConfigurationError: a file is missing, others may read the key, or the certificate is refused by callers.
    """
    if not serving.certificate_file:
        return None
    files = CertificateFiles(
        serving.certificate_file,
        serving.key_file,
        ca_file=serving.client_ca_file,
        setting="serving.certificate_file",
    )
    files.check(Role.SERVER)
    first, lock = _configuration(files), threading.Lock()

    def renewed() -> Any | None:
        """Called at every handshake, by threads of gRPC."""
        with lock:
            if not files.were_renewed():
                return None
            try:
                found = _configuration(files)
            except (ConfigurationError, OSError) as error:
                told("certificate_not_renewed", str(error))
                return None
            told("certificate_renewed", files.certificate_file)
            return found

    return grpc.dynamic_ssl_server_credentials(
        first, renewed, require_client_authentication=bool(serving.client_ca_file)
    )


def client_channel(target: str, serving: ServingFiles | None, *, options: ChannelOptions = ()) -> Any:
    """A channel to one of our services.

    Args:
        serving: Says what its certificate is checked by, and which one is shown; None, or no ca_file: plain.
        options: As grpc takes them.

    Raises:
        ConfigurationError: a file is missing, or others may read the key.
    """
    if serving is None or not serving.ca_file:
        return grpc.insecure_channel(target, options=options)
    try:
        ca = Path(serving.ca_file).read_bytes()
    except OSError as error:
        raise ConfigurationError(f"serving.ca_file is {serving.ca_file!r}: {error.strerror}") from None
    key = chain = None
    if serving.client_certificate_file:
        own = CertificateFiles(
            serving.client_certificate_file, serving.client_key_file, setting="serving.client_certificate_file"
        )
        key, chain, _ = own.pem()
    return grpc.secure_channel(target, grpc.ssl_channel_credentials(ca, key, chain), options=options)


def _configuration(files: CertificateFiles) -> Any:
    key, chain, ca = files.pem()
    return grpc.ssl_server_certificate_configuration([(key, chain)], root_certificates=ca)
