"""Everything that can be wrong, without I/O: no files, sockets, clocks or chance. The moment is passed in."""
