"""What happens to decoded images on their way into a network: one size, augmentation, normalization.

May import: training's own files. Knows no data set.
"""
