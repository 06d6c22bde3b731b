"""A run trained again from its record: what it needs, whether the numbers are the same, and a folder for others.

May import: training's own files, data, models, engine, finished.
"""
