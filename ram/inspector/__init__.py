"""The page on which a run is explored: a server on this machine, and what it answers."""
