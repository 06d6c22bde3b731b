"""The report for people and programs: text formats and the page.

May import: read, statistics, model.
"""
