"""The version of the package; setup.py reads it, CITATION.cff has the same."""

__version__ = "0.1.0"
