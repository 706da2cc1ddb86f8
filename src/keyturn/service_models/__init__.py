"""The models of services that are Keyturn's own, in botocore's format; clients need them, too."""

from __future__ import annotations

from pathlib import Path
from typing import Final

OWN_MODELS: Final = Path(__file__).parent
"""What botocore's loader calls a search path."""
