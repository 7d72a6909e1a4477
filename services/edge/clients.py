"""The list that the edge keeps: clients, the scopes they have, the methods of each scope, and how often they may call.

    edge = load_edge(Path("deploy/edge.toml"))
    edge.quota(client, scope)                requests per second

A call passes where its token is valid, names a client of this list and has the scope of the method, the list gives that
client that scope, and, where certificates are asked for, the caller shows the client's own.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta

from mmrec.errors import ConfigurationError, SettingError
from mmrec.wire.declared import AtLeastOne, Count, Name, NotNegative, build, check, refuse_unknown
from mmrec.wire.toml_text import line_of, parse_toml, read_toml_text

ScopeName = Literal["recommend", "campaign", "record", "catalog", "forget", "admin"]
"""What a token may be good for."""
Backend = Literal["recommender", "collector", "admin"]
"""Services behind the edge."""
Method = Annotated[
    str,
    Meta(
        pattern=r"^[a-z][A-Za-z0-9_.]*\.[A-Z][A-Za-z0-9]*/(?:\*|[A-Z][A-Za-z0-9]*)\Z",
        description="package.Service/Method, or package.Service/* for all of a service",
    ),
]
Host = Annotated[str, Meta(pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?\Z", description="a name in small letters")]
Https = Annotated[str, Meta(pattern=r"^https://[^\s/]+(/\S*)?\Z", description="an https:// address")]


@dataclass(frozen=True, kw_only=True)
class Issuer:
    """Whose tokens are taken."""

    name: Host
    issuer: Https
    """`iss` of its tokens."""
    audience: Name
    """`aud` of tokens that are for this system."""
    jwks_uri: Https
    """Where its keys are."""

    def __post_init__(self) -> None:
        check(self, "issuer")


@dataclass(frozen=True, kw_only=True)
class Scope:
    """What a token's scope allows."""

    name: ScopeName
    methods: Annotated[tuple[Method, ...], Meta(min_length=1)]
    backend: Backend
    """Which service answers them."""
    route: str = ""
    """The GRPCRoute that leads there on Kubernetes; empty: from outside there is no way."""
    requests_per_s: AtLeastOne
    """Of each client that has no number of its own. A stream is one request, however many messages it brings."""
    max_request_bytes: Count = 0
    """Largest request; 0 for streams, whose messages the service itself bounds."""
    timeout_s: NotNegative = 0.0
    """Longest call; 0 for streams."""
    num_retries: Count = 0
    """How often the edge asks another one where one does not answer."""

    def __post_init__(self) -> None:
        check(self, "scopes")


@dataclass(frozen=True, kw_only=True)
class EdgeClient:
    """Somebody who may ask."""

    name: Host
    """`sub` of its tokens, and the name (DNS) in its certificate."""
    scopes: Annotated[tuple[ScopeName, ...], Meta(min_length=1)]
    requests_per_s: Mapping[str, AtLeastOne] = field(default_factory=dict)
    """By scope, where another number than the scope's own is due."""

    def __post_init__(self) -> None:
        check(self, "clients")


@dataclass(frozen=True, kw_only=True)
class EdgeList:
    """Everything the edge decides by."""

    issuer: Issuer
    scopes: tuple[Scope, ...]
    clients: tuple[EdgeClient, ...]

    def __post_init__(self) -> None:
        _refuse_twice("scopes", [scope.name for scope in self.scopes])
        _refuse_twice("clients", [client.name for client in self.clients])
        _refuse_twice("scopes", [method for scope in self.scopes for method in scope.methods])
        known = [scope.name for scope in self.scopes]
        for place, client in enumerate(self.clients):
            for name in client.scopes:
                refuse_unknown({name: None}, known, at=("clients", place, "scopes"))
            for asked in client.requests_per_s:
                refuse_unknown({asked: None}, client.scopes, at=("clients", place, "requests_per_s"))

    def clients_of(self, scope: Scope) -> list[EdgeClient]:
        """Clients that have a scope."""
        return [client for client in self.clients if scope.name in client.scopes]

    def quota(self, client: EdgeClient, scope: Scope) -> int:
        """Requests per second."""
        return client.requests_per_s.get(scope.name, scope.requests_per_s)


def load_edge(path: Path) -> EdgeList:
    """The list of a file.

    Raises:
        ConfigurationError: it cannot be read, or has unknown or impossible values; it names the line.
    """
    try:
        text = read_toml_text(path)
    except FileNotFoundError:
        raise ConfigurationError(f"there is no list of clients at {path}; deploy/edge.toml is one") from None
    return parse_edge(text, where=str(path))


def parse_edge(text: str, *, where: str) -> EdgeList:
    """The list of a text; errors as load_edge()."""
    document = parse_toml(text, where=where)
    try:
        refuse_unknown(document, ("issuer", "scopes", "clients"), at=())
        return EdgeList(
            issuer=build(Issuer, document.get("issuer", {}), at=("issuer",)),
            scopes=_tables(Scope, document, "scopes"),
            clients=_tables(EdgeClient, document, "clients"),
        )
    except SettingError as error:
        line = line_of(text, error.path)
        raise ConfigurationError(f"{where if line is None else f'{where}, line {line}'}: {error}") from None


def _tables(cls: Any, document: Mapping[str, Any], name: str) -> tuple[Any, ...]:
    tables = document.get(name)
    if not isinstance(tables, list) or not tables:
        raise SettingError((name,), f"is not there; give a table [[{name}]] for each")
    return tuple(build(cls, table, at=(name, place)) for place, table in enumerate(tables))


def _refuse_twice(table: str, names: list[str]) -> None:
    twice = next((name for place, name in enumerate(names) if name in names[:place]), None)
    if twice is not None:
        raise SettingError((table,), f"has {twice!r} twice; give each once")
