"""The commands that read and change the directory."""
