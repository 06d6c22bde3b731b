"""Measurements behind the claims in docs/ and README. Each prints one table; none is a test."""
