"""`agentbridge` and `python -m agentbridge`."""

import signal
import sys

if "run" in sys.argv[1:]:
    # A SIGHUP would end a process that has no handler for it yet, and the imports below take 0.3 s. It waits until the
    # daemon handles it, which then reloads.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})

from agentbridge.cli.app import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
