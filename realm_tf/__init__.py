"""REALM for TensorFlow 2: retrieval-augmented language-model pre-training and open-domain question answering."""

__version__ = '0.1.0'
