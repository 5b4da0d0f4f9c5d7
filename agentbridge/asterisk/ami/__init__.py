"""The AMI: wire without I/O, connection, link."""
