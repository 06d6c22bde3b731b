"""The last import of the server that runs are forked from: what it has in memory by now is never garbage.

Else Python's collector, looking through all of torch in each new process, would copy what that shares with the server:
0.3 s and 100 MB a run (Python's gc.freeze is made for this).
"""

import gc
import sys

from sweeps.launchers.end_with_controller import stop_watching

stop_watching()
if (module := sys.modules.get("training.provenance.code_version")) is not None:
    module.code_version()  # a tenth of a second and more, which no run has to spend again
gc.collect()
gc.freeze()
