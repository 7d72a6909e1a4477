"""Redis as production has it: TLS that asks for certificates, an access list, appended to disk; the system's server.

The server that comes as a wheel has no TLS. Debian's has: package redis-server.
"""

import shutil
from hashlib import sha256
from pathlib import Path

from mmrec.errors import MachineError
from services.stack.ports import HOST
from services.stack.program import Program
from tests.pki import Issued

USER = "mmrec"
RIGHTS = "~* &* +@all -@dangerous -@admin +info +config|get +scan +keys"
"""Of the programs: no server is stopped, emptied or configured with it."""


def redis_program(
    name: str, folder: Path, port: int, *, issued: Issued, ca_file: str, password: str, options: tuple[str, ...] = ()
) -> Program:
    """A server for a supervisor; its access list is written.

    Args:
        options: More of the server's own, such as "--cluster-enabled", "yes".

    Raises:
        MachineError: there is no redis-server on the PATH.
    """
    server = shutil.which("redis-server")
    if server is None:
        raise MachineError("there is no redis-server with TLS on the PATH; Debian and Ubuntu have it in redis-server")
    folder.mkdir(parents=True, exist_ok=True)
    acl = folder / "users.acl"
    acl.touch(mode=0o600)
    acl.write_text(f"user default off\nuser {USER} on #{sha256(password.encode()).hexdigest()} {RIGHTS}\n")
    tls = ("--port", "0", "--tls-port", str(port), "--tls-auth-clients", "yes", "--tls-ca-cert-file", ca_file)
    files = ("--tls-cert-file", issued.certificate, "--tls-key-file", issued.key, "--aclfile", str(acl))
    kept = ("--dir", str(folder), "--appendonly", "yes", "--appendfsync", "everysec", "--save", "")
    # Its title would be written over the environment, by which the guard knows what a stack started.
    usual = ("--bind", HOST, "--set-proc-title", "no", "--maxmemory-policy", "noeviction")
    return Program(name=name, command=(server, *usual, *tls, *files, *kept, *options), port=port)
