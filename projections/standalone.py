"""The read side without a server: what `loyalty project` runs, and each server in a process beside it."""

import os
import signal
import time
from typing import Final

from ledger.config import Config, ConfigError
from ledger.logs import configure_logs
from ledger.proof.keys import read_keys
from ledger.store.archive import Archive
from projections.notary import Notary
from projections.process import report_until_end_of_input
from projections.runner import ReadSide

NICENESS: Final = 5
"""Tills go first where there are few cores; views catch up right after."""


def notary(config: Config) -> Notary | None:
    """Who signs the log; None where no key is set. Raises KeysInvalid where the key cannot be used."""
    if config.log_key_file is None or config.checkpoint_file is None:
        return None
    read_keys(config.log_key_file, config.log_origin)
    return Notary(config.log_key_file, config.checkpoint_file, config.log_origin, lambda: time.time_ns() // 1_000)


def build_views(config: Config, *, until_parent_ends: bool) -> None:
    """Builds the views until SIGTERM or Ctrl-C, or until standard input ends. Raises ConfigError and KeysInvalid."""
    if config.database_url is None:
        raise ConfigError(["LOYALTY_DATABASE_URL is not set: give the URL of a PostgreSQL"])
    configure_logs(config.log_level, config.log_format)
    os.nice(NICENESS)
    read_side = ReadSide(
        config.database_url, notary=notary(config), seals=config.log_seal, archive=Archive(config.archive)
    )
    read_side.start()
    if until_parent_ends:
        # The parent decides when, also when a terminal sends Ctrl-C to both.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        report_until_end_of_input(read_side)
    else:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
        signal.sigwait({signal.SIGINT, signal.SIGTERM})
    read_side.stop()
