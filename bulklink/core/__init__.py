"""Everything that can be wrong, without I/O: no files, sockets, clocks, randomness, logging. The moment is passed in."""
