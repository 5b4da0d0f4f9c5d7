"""The command line of the operator and the administrator."""
