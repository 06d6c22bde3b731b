"""What to run next: grid, and Optuna (study, space, objective).

May import: all rooms of sweeps.
"""
