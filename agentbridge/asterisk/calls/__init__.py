"""What follows running calls: recordings, listening, lamps."""
