"""The recommender for a Ray cluster that is told what to serve by a file, such as KubeRay's serveConfigV2.

import_path: services.recommender.serve_config:build
args: {config: /etc/mmrec/mmrec.toml}
"""

from collections.abc import Mapping
from typing import Any

from mmrec.errors import ConfigurationError
from services.recommender.app import application


def build(arguments: Mapping[str, Any]) -> Any:
    """The deployment that the file's `args` describe; Serve hands them over as they stand.

    Args:
        arguments: `config` names the TOML file, as each node finds it.

    Raises:
        ConfigurationError: `config` is missing or no text, or there is something else.
    """
    config = arguments.get("config")
    if set(arguments) != {"config"} or not isinstance(config, str) or not config:
        raise ConfigurationError(f"args of the application are {dict(arguments)!r}; give {{config: FILE}} and no more")
    return application(config)
