"""What the script and the process that talks to Ray send each other, beside the outcomes of items."""

from typing import Any, NamedTuple

from config import Cluster
from utils.workers.shared_disk import SEEN_SECONDS


class Order(NamedTuple):
    """What is to be done: as in `utils.workers.fanout.fan_out`; the script's folder; the number of items.

    `patience`: seconds for which a machine looks again for files that it does not see.
    """

    function: Any
    workers: int
    ahead: int
    cluster: Cluster
    folder: str
    items: int
    gpus: int = 0
    patience: float = SEEN_SECONDS


class ItemInHand(NamedTuple):
    """An item, its position among all, and the seconds after which it fails."""

    position: int
    item: Any
    time_limit: float


class Room(NamedTuple):
    """How many items may be in hand; `warning` is one line for the user, or ''."""

    in_hand: int
    warning: str = ""


class Lost(NamedTuple):
    """Why the stage cannot continue; one line for the user."""

    reason: str
