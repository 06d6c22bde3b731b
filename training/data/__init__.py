"""The images of a run: found, split, checked, decoded, cached, and made into batches.

May import: training's own files (config, errors, record, ...). Knows no network.
"""
