"""evalkit's version: the same as in pyproject.toml, below everything that has to name it."""

__version__ = "0.1.0"
