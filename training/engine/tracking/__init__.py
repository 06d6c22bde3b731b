"""What TensorBoard gets to see of a run.

May import: training's own files, models.
"""
