"""What a config and a record are made of: checks, parts of a config, and the keys of a JSON file. Without torch.

May import: training/errors.py.
"""
