"""Everything that touches Hydra's internals: composition, arguments, messages; nothing else in sweeps does.

May import: sweeps' own files (channel, stopping), training's config, errors and record.
"""
