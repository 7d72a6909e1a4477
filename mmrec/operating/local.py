"""The administrative API in this process, on the deployment's own stores: for commands where no service answers."""

from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

from mmrec.config import Settings
from mmrec.operating.acts import COMMAND_LINE
from mmrec.operating.desk import Desk
from mmrec.operating.workplace import workplace


class LocalDesk:
    """The desk of a deployment in this process, for whoever has its configuration and its stores."""

    def __init__(self, settings: Settings) -> None:
        """Nothing is opened."""
        self._at = workplace(settings, must_record=False)
        self._desk = Desk(self._at)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._at.close()

    def ask(self, method: str, request: Any) -> Any:
        """See AskedDesk."""
        return self._desk.ask(method, request, COMMAND_LINE)

    def run(self, method: str, request: Any) -> Iterator[Any]:
        """See AskedDesk."""
        return (message for message in self._desk.run(method, request, COMMAND_LINE) if message is not None)
