"""Hanok (한옥): an agentic AI platform in one Python package, declared in one file."""

__version__ = "0.1.0"
