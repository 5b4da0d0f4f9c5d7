"""Telephones: which are there, what becomes of an agent whose telephone is lost, and the telephone as a way in."""
