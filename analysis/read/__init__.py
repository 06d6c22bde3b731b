"""Run folders, published tables and studies, as one DataFrame.

May import: training.record, training.run_folder and training.errors.
"""
