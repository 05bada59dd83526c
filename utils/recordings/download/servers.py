"""Which addresses may be asked: https of one site; plain http only on this machine."""

from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import quote, urljoin, urlsplit

from utils.console import UserError

SITE = "https://xeno-canto.org"
_KEPT = "%/:=&?~#+!$,;'@()*[]"  # characters of an address that stay as they are


@dataclass(frozen=True)
class Server:
    """A site that is asked.

    Attributes
    ----------
    base : its address, without a slash at the end
    scheme, host, port : parts of it; port None: the usual one
    local : whether it is on this machine
    """

    base: str
    scheme: str
    host: str
    port: int | None
    local: bool

    def address(self, text: str) -> str:
        """Return the whole address of something on this site.

        Parameters
        ----------
        text : as the site names it: whole, without `https:`, or only its path

        Raises
        ------
        ValueError
            If it is elsewhere, or would not be encrypted.
        """
        whole = quote(urljoin(f"{self.base}/", text.strip()), safe=_KEPT)
        parts = urlsplit(whole)
        host = (parts.hostname or "").rstrip(".")
        if host != self.host and not host.endswith(f".{self.host}"):
            raise ValueError(f"is at {host[:100] or 'no site'}, not at {self.host}")
        if parts.scheme != self.scheme or parts.port != self.port or parts.username is not None:
            raise ValueError(f"has an address that does not start with {self.base}")
        return whole


def server_of(text: str) -> Server:
    """Return the site of an address such as https://xeno-canto.org.

    Raises
    ------
    UserError
        If it is no address of a site, or not encrypted and not on this machine.
    """
    try:
        parts = urlsplit(text)
        host, port = (parts.hostname or "").removeprefix("www."), parts.port
    except ValueError:
        raise UserError(f"--server {text}: is no address of a site") from None
    local = _is_local(host)
    if not host or parts.path.strip("/") or parts.query or parts.fragment or parts.username is not None:
        raise UserError(f"--server {text}: should be https://, a site, and nothing else")
    if parts.scheme != "https" and not (parts.scheme == "http" and local):
        raise UserError(f"--server {text}: should start with https://; http:// is only for a server on this machine")
    return Server(text.rstrip("/"), parts.scheme, host, port, local)


def _is_local(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
