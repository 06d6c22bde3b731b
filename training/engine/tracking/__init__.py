"""What TensorBoard and other trackers get to see of a run.

May import: training's own files, models.
"""
