"""Composition: wiring, signals, heartbeat, systemd."""
