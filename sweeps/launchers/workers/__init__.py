"""Runs on other machines: workers that pull them from the sweep's folder, and the launcher that puts them there.

May import: sweeps.launchers, sweeps.plan, sweeps.hydra_glue, sweeps, training.
"""
