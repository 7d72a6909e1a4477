r"""Render what the edge is told, from the one list of clients.

python -m services.edge kubernetes deploy/edge.toml --folder deploy/components     policies of Envoy Gateway, in place
python -m services.edge envoy deploy/edge.toml --listen 0.0.0.0:443 --jwks jwks.json --certificate-file tls.crt \
    --key-file tls.key --client-ca-file storefronts.crt --recommender lists:9000 --collector events:9001 \
    --backend-ca-file ca.crt > envoy.json                                           Envoy's own configuration
"""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

from mmrec.errors import ConfigurationError, MmrecError
from mmrec.wire.declared import Address, Addresses, Port, argument
from services.edge.clients import load_edge
from services.edge.envoy import BackendPlace, EdgePlace, envoy_configuration
from services.edge.gateway import gateway_policies


def main() -> int:
    """Parse, render."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    forms = parser.add_subparsers(required=True)
    _form(forms, "kubernetes", _kubernetes).add_argument("--folder", type=Path, required=True)
    envoy = _form(forms, "envoy", _envoy)
    envoy.add_argument("--listen", type=argument(Address), default="0.0.0.0:443", help="(default: %(default)s)")
    envoy.add_argument("--admin-port", type=argument(Port), default=9901, help="on loopback (default: %(default)s)")
    for name in ("--jwks", "--certificate-file", "--key-file", "--client-ca-file"):
        envoy.add_argument(name, required=True, metavar="FILE")
    for name in ("--recommender", "--collector", "--admin"):
        envoy.add_argument(name, type=argument(Addresses), default="", metavar="ADDRESSES")
    envoy.add_argument("--backend-ca-file", default="", metavar="FILE", help="checks the collector's and admin's")
    envoy.add_argument("--shown-certificate-file", default="", metavar="FILE", help="what the edge shows these")
    envoy.add_argument("--shown-key-file", default="", metavar="FILE")
    envoy.add_argument("--access-log", default="/dev/stdout", metavar="FILE")
    arguments = parser.parse_args()
    try:
        arguments.render(arguments)
    except (MmrecError, OSError) as error:
        sys.exit(f"error: {error}")
    return 0


def _form(
    forms: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, render: Callable[..., None]
) -> argparse.ArgumentParser:
    form = forms.add_parser(name)
    form.add_argument("list", type=Path, help="such as deploy/edge.toml")
    form.set_defaults(render=render)
    return form


def _kubernetes(asked: argparse.Namespace) -> None:
    for name, text in gateway_policies(load_edge(asked.list)).items():
        (asked.folder / name).write_text(text, encoding="utf-8")
        print(asked.folder / name)  # noqa: T201


def _envoy(asked: argparse.Namespace) -> None:
    edge, (host, port) = load_edge(asked.list), _host_and_port(asked.listen)
    places = {name: getattr(asked, name) for name in ("recommender", "collector", "admin")}
    backends = {
        name: BackendPlace(
            addresses=[_host_and_port(each.strip()) for each in addresses.split(",")],
            ca_file=asked.backend_ca_file if name != "recommender" else "",  # Ray Serve speaks no TLS
            name=name,
        )
        for name, addresses in places.items()
        if addresses
    }
    if not backends:
        raise ConfigurationError("no service is named; give --recommender, --collector or --admin host:port[,...]")
    place = EdgePlace(
        host=host,
        port=port,
        admin_port=asked.admin_port,
        certificate_file=asked.certificate_file,
        key_file=asked.key_file,
        client_ca_file=asked.client_ca_file,
        jwks_file=asked.jwks,
        backends=backends,
        shown_certificate_file=asked.shown_certificate_file,
        shown_key_file=asked.shown_key_file,
        access_log=asked.access_log,
    )
    print(json.dumps(envoy_configuration(edge, place), indent=1))  # noqa: T201


def _host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


if __name__ == "__main__":
    sys.exit(main())
