"""The addresses below /v1, a module for each part of what is spoken of."""
