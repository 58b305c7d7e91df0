"""The demonstrations that the tests of demos/ use."""

from tests.demos.conftest import tiny

__all__ = ["tiny"]
