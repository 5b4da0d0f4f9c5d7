"""Private servers and phones on this machine, for the demo, the tests and the benches."""
