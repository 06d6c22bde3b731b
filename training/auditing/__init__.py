"""What may be wrong with a data set, for training/audit.py.

May import: training's own files, training.data, training.console, training.finished.
"""
