"""One driver for each kind of thing that is pushed."""
