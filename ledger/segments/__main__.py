"""`python -m ledger.segments`: the segmenter, until standard input ends."""

import os
import signal
import sys
import time

from ledger.config import Config, ConfigError
from ledger.logs import configure_logs
from ledger.segments.preview import KINDS
from ledger.segments.segmenter import Segmenter
from projections.standalone import NICENESS


def main(config: Config) -> None:
    """Runs it. Raises ConfigError."""
    if config.database_url is None:
        raise ConfigError(["LOYALTY_DATABASE_URL is not set: give the URL of a PostgreSQL"])
    configure_logs(config.log_level, config.log_format)
    os.nice(NICENESS)
    # The parent decides when, also when a terminal sends Ctrl-C to both.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    segmenter = Segmenter(config.database_url, KINDS, lambda: time.time_ns() // 1_000)
    segmenter.start()
    sys.stdin.buffer.read()
    segmenter.stop()


if __name__ == "__main__":
    try:
        main(Config.from_env(os.environ))
    except ConfigError as error:
        sys.exit(f"loyalty: {error}")
