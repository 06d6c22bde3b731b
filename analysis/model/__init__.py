"""Runs -> everything that a report says about them: the table, comparisons, sentences, effects, cautions.

May import: read, statistics.
"""
