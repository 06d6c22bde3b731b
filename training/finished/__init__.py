"""Finished runs, and what is made of them: predictions, exported files, ensembles, soups.

May import: all rooms of training but screening, and analysis.statistics.
"""
