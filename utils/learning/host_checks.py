"""What hosts that train together must have in common."""

import json

import jax

from config import Config
from utils.learning.examples import Examples
from utils.learning.host_messages import first_difference
from utils.learning.hosts import ErrorOnAllHosts
from utils.learning.runs import RUN_SETTINGS
from utils.settings_keys import effective_settings


def check_hosts(examples: Examples, config: Config) -> None:
    """Refuse to train together with hosts that have other settings, clips or devices.

    Raises
    ------
    ErrorOnAllHosts
        That names the first difference.
    """
    settings = effective_settings(config, of=("run", *RUN_SETTINGS))
    devices = {"the kind of devices": jax.default_backend(), "the count of devices": jax.local_device_count()}
    found = first_difference({**settings, "the clips or classes": examples.fingerprint, **devices})
    if not found:
        return
    host, name, there, first = found
    advice = (
        "use equally many devices of one kind on all hosts"
        if name in devices
        else "run the same command with the same data set on all hosts"
    )
    raise ErrorOnAllHosts(f"{name} is {json.dumps(there)} on host {host}, but {json.dumps(first)} on host 0; {advice}")
