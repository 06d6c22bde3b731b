"""Where a result comes from: the version of the code, packages and machine, and how two records differ.

May import: training's own files.
"""
