"""[console] of the configuration: where people's browsers find the console, and where it finds the services."""

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from mmrec.connections.relations import refuse_half, refuse_unused
from mmrec.wire.declared import Address, AddressOrNone, FilePath, Name, Positive, check


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
