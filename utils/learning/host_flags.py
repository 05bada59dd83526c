"""The flags of a call on one of several hosts."""

import re
from dataclasses import dataclass

from config import SettingsError


@dataclass(frozen=True)
class HostFlags:
    """Flags of a call on one of several hosts; they differ by host and are never saved with the settings."""

    # train on several hosts: HOST:PORT of process 0, which all can reach; auto: ask Slurm, Open MPI or the TPU pod
    coordinator: str = ""
    # with --coordinator: how many processes train together, one on each host
    processes: int | None = None
    # with --coordinator: which of them this one is, from 0 on
    process: int | None = None


def check_host_flags(flags: HostFlags) -> None:
    """Refuse flags that do not fit together.

    Raises
    ------
    SettingsError
        That says what is missing.
    """
    given = [name for name in ("processes", "process") if getattr(flags, name) is not None]
    if flags.coordinator in ("", "auto"):
        if given:
            advice = "finds it by itself; remove this flag" if flags.coordinator else "is missing; set it to HOST:PORT"
            raise SettingsError(f"--coordinator {flags.coordinator}".strip() + f" {advice}", source=f"--{given[0]}")
        return
    _, colon, port = flags.coordinator.rpartition(":")
    if not colon or not re.fullmatch(r"\d{1,5}", port) or not 0 < int(port) < 2**16:
        raise SettingsError(
            f"{flags.coordinator!r} must be HOST:PORT of process 0, such as 10.0.0.1:1234, or auto",
            source="--coordinator",
        )
    if flags.processes is None or flags.process is None:
        missing = "--processes" if flags.processes is None else "--process"
        raise SettingsError(f"is missing; --coordinator {flags.coordinator} needs it", source=missing)
    if not 0 <= flags.process < flags.processes:
        raise SettingsError(
            f"{flags.process} must be from 0 to {flags.processes - 1}, because of --processes {flags.processes}"
            if flags.processes > 0
            else f"is {flags.process}, but --processes {flags.processes} must be at least 1",
            source="--process",
        )
