"""What can be added to plain training, a file each (docs/recipes.md).

May import: training's own files, data, models.
"""
