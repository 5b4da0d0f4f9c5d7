"""The agent directory in PostgreSQL: its schema, what it says, and what changes in it."""
