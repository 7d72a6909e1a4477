"""The command that writes a configuration to start from."""

from pathlib import Path
from typing import Annotated

import typer

from mmrec.errors import InvalidRequestError


def init(
    file: Annotated[Path, typer.Argument(help="where it is written; nothing is overwritten")] = Path("mmrec.toml"),
    *,
    domain: Annotated[str, typer.Option(metavar="movies|music|news|shop", help="what is recommended")] = "shop",
) -> None:
    """Write a configuration to start from: behaviors, memories and missing values that fit a domain, with comments.

    Example: `mmrec init --domain music`, then `mmrec up --config mmrec.toml`
    """
    from mmrec.cli.starters import starter_text

    text = starter_text(domain)
    try:
        with file.open("x", encoding="utf-8") as made:
            made.write(text)
    except FileExistsError:
        raise InvalidRequestError(f"{file} is there already; name another file, or move it away") from None
    except OSError as error:
        raise InvalidRequestError(f"{file} cannot be written: {error.strerror}; name another file") from None
    typer.echo(f"{file} written for {domain}; look at it, then `mmrec up --config {file}`")
