"""The report for people and programs: a text table, Markdown, LaTeX, CSV, JSON, and the page.

May import: read, statistics, model.
"""
