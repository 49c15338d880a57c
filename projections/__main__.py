"""`python -m projections`: the read side, until standard input ends. It loads nothing that serves or decides."""

import os
import sys

from ledger.config import Config, ConfigError
from ledger.proof.keys import KeysInvalid
from projections.standalone import build_views

if __name__ == "__main__":
    try:
        build_views(Config.from_env(os.environ), until_parent_ends=True)
    except (ConfigError, KeysInvalid) as error:
        sys.exit(f"loyalty: {error}")
