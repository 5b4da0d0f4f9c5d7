"""What is in Asterisk, as last seen."""
