"""What goes on right now: read once from the database, shown to each viewer as it may see it."""
