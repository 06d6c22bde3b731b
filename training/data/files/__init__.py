"""Image files: which lie below a folder or in a CSV, and their pixels.

May import: training's own files (config, errors, record, ...). Knows no data set.
"""
