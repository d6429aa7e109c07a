"""Apache Beam jobs, each a program of its own: `python -m beam_jobs.NAME`."""

import logging
import os

# At import, Beam logs which of its optional packages are missing, and TensorFlow that there is no GPU.
logging.getLogger().setLevel(logging.ERROR)
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
