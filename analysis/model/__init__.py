"""Runs -> everything that a report says about them: the table, verdicts, sentences, effects, cautions.

May import: read, statistics.
"""
