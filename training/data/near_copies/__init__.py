"""Images that show the same: one encoded again, resized, cropped, brightened or mirrored, found by small grey pictures.

May import: training's own files (device.py).
"""
