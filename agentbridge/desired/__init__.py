"""Pure: from the directory's rows to what should be in Asterisk."""
