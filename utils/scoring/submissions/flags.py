"""What a call of submission_monophone.py or submission_soundscape.py may ask for."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class SubmissionFlags:
    """Flags of a single call, which are never saved with the settings."""

    # do not predict; report, line by line, what a challenge's parser would reject in this file or folder
    check: Path | None = None
