"""The version alone, so that a build reads it without torch."""

__version__ = "0.1.0"
