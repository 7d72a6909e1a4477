"""[admin] and [console] of the configuration: who may steer the deployment, and where people's browsers find it."""

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from mmrec.connections.engines import Folder
from mmrec.connections.relations import refuse_half, refuse_unused
from mmrec.wire.declared import Address, AddressOrNone, FilePath, Name, Positive, check


@dataclass(frozen=True, kw_only=True)
class AdminSettings:
    """The administrative service (services.admin)."""

    backups: Folder = "backups"
    """Folder that backups are made in, each a folder of its own."""
    callers: tuple[Name, ...] = ()
    """Names in certificates of those who may call, such as "edge"; if empty, everybody whose certificate
    serving.client_ca_file has signed."""
    edges: tuple[Name, ...] = ()
    """Names in certificates of proxies that are believed who their caller is, by the header x-client."""

    def __post_init__(self) -> None:
        check(self, "admin")


@dataclass(frozen=True, kw_only=True)
class ConsoleSettings:
    """The console (services.console)."""

    address: Address = "127.0.0.1:18516"
    """host:port that browsers connect to. Beyond this machine it speaks TLS alone and asks for a certificate."""
    hosts: tuple[Name, ...] = ()
    """Names that browsers may call it by, such as "console.mmrec.example", beside localhost and the host of `address`;
    a request for any other name is refused (DNS rebinding)."""
    certificate_file: FilePath = ""
    """Certificate that it shows to browsers (PEM); renewed files are used from the next connection on."""
    key_file: FilePath = ""
    """Its key (PEM); nobody but owner and group may read it."""
    client_ca_file: FilePath = ""
    """Certificates (PEM) that browsers' certificates are checked by; a browser without one is refused (mTLS)."""
    recommender: AddressOrNone = ""
    """host:port where it calls the recommender; empty: serving.recommender. So for the two below."""
    collector: AddressOrNone = ""
    admin: AddressOrNone = ""
    can_change: bool = True
    """Whether people may change something by it: send events, promote, send refused records again, forget users."""
    num_items: Annotated[int, Meta(ge=1, le=100)] = 24
    """Length of the storefront's list."""
    wait_s: Annotated[Positive, Meta(le=60)] = 5.0
    """How long the storefront asks again for a list that does not change after an event."""

    def __post_init__(self) -> None:
        check(self, "console")
        refuse_half(self, "console", "certificate_file", "key_file")
        refuse_unused(self, "console", "client_ca_file", needs="certificate_file")
