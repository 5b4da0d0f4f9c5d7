"""What it costs, beside the least that could do it. `python -m tests.bench [JSON]` measures; nothing is asserted."""
