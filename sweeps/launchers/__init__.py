"""Where runs execute: slots, and an engine behind submit, wait_any, answer, cancel.

May import: hydra_glue, plan, and its room gpu. Knows processes and devices, no hyperparameters.
"""
