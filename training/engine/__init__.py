"""One run, from a prepared config to its record: session, loop, optimizer, checkpoint, tracking.

May import: training's own files, data, models, and its own rooms techniques and tracking.
"""
