"""What a device asks of a training step: CUDA graphs, running out of memory, gradients that some convolutions leave.

May import: training's own files.
"""
