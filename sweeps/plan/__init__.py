"""Override lines -> composed, checked, named jobs. Starts nothing.

May import: hydra_glue, and of training its config, identity and record.
"""
