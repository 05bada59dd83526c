"""Which addresses of folders and of clusters can be used."""

import re

from config import ADDRESS_MARK, SCHEMES, Cluster, Config, is_address
from utils.spectrogram_checks import require


def check_addresses(config: Config) -> None:
    """Refuse addresses of an unknown kind, or with credentials.

    Raises
    ------
    SettingsError
        That names the setting and what would be valid.
    """
    _check_address("dataset.archive", config.dataset.archive)
    _check_address("dataset.store", config.dataset.store)
    _check_address("training.packed", config.training.packed)
    _check_store_outside(config.dataset.archive, config.dataset.store)
    _check_cluster(config.cluster)


def _check_address(key: str, value: object) -> None:
    """Refuse an address (`<scheme>://…`) of an unknown kind, or with credentials; paths pass.

    Raises
    ------
    SettingsError
        That names the setting, without the address where it may hold a key.
    """
    if not is_address(value):
        return
    scheme, _, rest = value.partition(ADDRESS_MARK)
    folder = without_credentials(rest)
    schemes = ", ".join(f"{known}://" for known in SCHEMES)
    require(
        folder == rest,
        key=key,
        value=f"{scheme}://{folder}",
        reason="should hold no credentials: they come from the environment, as the cloud's own tools leave them",
    )
    require(
        scheme in SCHEMES and bool(folder), key=key, value=value, reason=f"should be a path, or begin with {schemes}"
    )
    fault = fault_of_folder(scheme, folder)
    require(not fault, key=key, value=value, reason=fault)


def fault_of_folder(scheme: str, folder: str) -> str:
    """Return what is wrong with the part of an address after its scheme; '' if nothing is."""
    if scheme == "file" and not folder.startswith("/"):
        return "should have three slashes, as file:///folder"
    parts = folder.removeprefix("/" if scheme == "file" else "").removesuffix("/").split("/")
    if parts != [""] and {"", ".", ".."}.intersection(parts):
        return "should have no empty part, '.' or '..' between its slashes"
    return ""


def without_credentials(rest: str) -> str:
    """Return the part of an address after its scheme without what can hold a key: user, password, query string."""
    return rest.partition("?")[0].rpartition("@")[2]


def _check_store_outside(archive: object, store: object) -> None:
    """Refuse a remote store inside the archive, whose tables sort_data.py would take for the archive's."""
    if is_address(archive) and is_address(store):
        require(
            not f"{store.rstrip('/')}/".startswith(f"{archive.rstrip('/')}/"),
            key="dataset.store",
            value=store,
            reason="should not be inside dataset.archive",
        )


def _check_cluster(cluster: Cluster) -> None:
    found = re.fullmatch(r"ray://[\w.-]+:(\d{1,5})", cluster.address)
    require(
        cluster.address in ("", "auto", "local") or (found is not None and int(found[1]) < 2**16),
        key="cluster.address",
        value=cluster.address,
        reason="should be '', auto, local or ray://HOST:PORT",
    )
