"""Where runs execute: slots, and an engine behind submit, wait_any, answer, cancel.

May import: hydra_glue. Knows processes and devices, no hyperparameters.
"""
