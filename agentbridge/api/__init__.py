"""`agentbridge api`: the directory over HTTP, and what goes on as a stream.

Knows the database and nothing of Asterisk.
"""
