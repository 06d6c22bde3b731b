"""One run: config -> model, data, optimizer -> loop -> record.

Knows neither sweeps nor analysis nor Hydra. Read in this order: config, identity, data, models, optimize, loop, run.
"""
