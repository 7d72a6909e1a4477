"""Changes of the configuration as acts: a service that starts with another one than the last says what differs.

Nobody changes a configuration through a program: files and the environment are changed, and programs started again. So
the first program that starts with a new one records it, with every value that differs, secrets left out.
"""

import hashlib
import json
from typing import Final

from mmrec.errors import NotFoundError
from mmrec.operating.acts import ActFilter, ActKind, Caller, read_acts
from mmrec.operating.configuration import configured_values
from mmrec.operating.workplace import Workplace
from mmrec.v1.admin_pb2 import AdministrativeAct, IdentifiedBy
from mmrec.wiring import open_topics

PROGRAM: Final = Caller(who="services.admin", identified_by=IdentifiedBy.IDENTIFIED_BY_PROGRAM)
DOCUMENT: Final = "configuration"
"""Detail with all values, as JSON by name: what the next start is compared with."""
MAX_DETAIL: Final = 2_000


def record_configuration(at: Workplace) -> AdministrativeAct | None:
    """Record the configuration in force, where it is not the one that was recorded last; None where it is.

    Raises:
        StoreError: the acts cannot be read or written.
    """
    values = {value.name: value.value for value in configured_values(at.settings, {})}
    text = json.dumps(values, sort_keys=True, ensure_ascii=False)
    try:
        records = open_topics(at.settings).read(at.settings.kafka.administrative_acts)
        found = read_acts(records, ActFilter(kind=ActKind.CHANGE_CONFIGURATION.value, num_acts=1)).acts
    except NotFoundError:
        return None  # a deployment whose topics are older than acts
    before = json.loads(found[0].details.get(DOCUMENT, "{}")) if found else {}
    if before == values:
        return None
    details = {
        name: f"{before.get(name, '(nothing)')} -> {values.get(name, '(nothing)')}"[:MAX_DETAIL]
        for name in sorted({*before, *values})
        if before and before.get(name) != values.get(name)
    }
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    with at.acts.recorded(
        ActKind.CHANGE_CONFIGURATION, PROGRAM, subject=digest, details={**details, DOCUMENT: text}
    ) as act:
        return act
