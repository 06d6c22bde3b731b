"""What a person at a terminal sees: a program's command line and errors, tables, progress bars.

May import: training's own files.
"""
