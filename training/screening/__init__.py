"""What untrained networks make of the images, for training.screen.

May import: all rooms of training but finished, and analysis.statistics.
"""
