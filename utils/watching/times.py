"""The times that are written down."""

import time


def utc_now() -> str:
    """Return the time in UTC, as 2021-10-02T17:00:05Z."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def today() -> str:
    """Return the day on this machine's clock."""
    return time.strftime("%Y-%m-%d")
