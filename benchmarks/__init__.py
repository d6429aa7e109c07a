"""Benchmarks beside peers; `python -m benchmarks --list` says which there are."""

import os

# At every start TensorFlow tells about this machine.
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
