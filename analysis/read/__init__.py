"""Run folders, published tables and studies, as one DataFrame.

May import: training.record and training.errors.
"""
