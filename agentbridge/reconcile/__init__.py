"""The loop: work queue, comparison, writer, pace, resync and guards."""
