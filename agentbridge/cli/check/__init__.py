"""`agentbridge check`."""
