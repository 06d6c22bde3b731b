"""Pure functions of arrays: intervals, comparisons, effects, planning. No pandas, no printing.

May import: nothing of ours. May be imported by training's programs and by sweeps.
"""
