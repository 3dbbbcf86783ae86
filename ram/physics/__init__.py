"""Physics with a known answer: plates, wheel discs, and the maps that their solver knows to be true."""
