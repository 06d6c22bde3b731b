"""The last import of the server that runs are forked from: what it has in memory by now is never garbage.

Else Python's collector, looking through all of torch in each new process, would copy what that shares with the server:
0.3 s and 100 MB a run (Python's gc.freeze is made for this).
"""

import gc

from sweeps.launchers.end_with_controller import stop_watching

stop_watching()
gc.collect()
gc.freeze()
