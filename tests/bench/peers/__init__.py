"""Whom agentbridge is measured beside: scripts that do a part of its work, and Asterisk's own realtime."""
