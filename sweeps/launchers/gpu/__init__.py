"""GPUs that runs share: what they are, which has room for a run, and MPS on them.

May import: plan. Decides over plain data; knows no processes of runs.
"""
