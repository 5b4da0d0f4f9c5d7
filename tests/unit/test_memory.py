"""Memory that was freed goes back to the system."""

import subprocess
import sys

# every thousandth piece stays, so that no end of the heap is free
PROGRAM = """
import psutil
from agentbridge import memory

def rss():
    return psutil.Process().memory_info().rss / 1e6

pieces = [bytes(700) for _ in range(100_000)]
kept = pieces[::1000]
pieces.clear()
held = rss()
memory.give_back()
print(held - rss())
"""


def test_what_is_free_between_pieces_that_stay_goes_back() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True)
    assert float(done.stdout) > 30
