"""A worker process of a job that runs on this machine: Beam's own, which tells of errors only."""

import logging
import sys

from apache_beam.runners.worker import sdk_worker_main

if __name__ == '__main__':
    # Beam sets the level of its loggers itself, to INFO.
    logging.disable(logging.WARNING)
    sdk_worker_main.main(sys.argv)
