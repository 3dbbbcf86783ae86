"""Nets that end in global average pooling and a linear unit, in the target's unit."""
