"""The version of the package; setup.py and CITATION.cff have the same."""

__version__ = "0.1.0"
