"""How good predictions and maps are, in the target's unit."""
