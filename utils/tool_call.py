"""How a program without settings runs."""

from collections.abc import Callable

from utils.console import STOPPED, UserError, accept_any_text, warning


def run_tool(work: Callable[[], int], *, again: str = "resumes") -> int:
    """Run a program that has no settings, and turn what goes wrong into one line.

    Parameters
    ----------
    work : returns the exit status
    again : what the same command does after Ctrl-C

    Returns
    -------
    The exit status, as `console.run` returns it.
    """
    accept_any_text()
    try:
        return work()
    except (UserError, OSError) as error:
        warning(str(error))
        return 1
    except KeyboardInterrupt:
        warning(f"stopped; no file is half-written, and the same command {again} here")
        return STOPPED
