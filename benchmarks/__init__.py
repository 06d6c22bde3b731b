"""Measurements behind the claims in docs/ and README. Each prints one table; none is a test."""

import training  # before torch, of whose threads it says how they wait  # noqa: F401
