"""Keeps slots full, shows what runs, stops, and writes down how a job ended.

May import: hydra_glue, plan, launchers.
"""
