"""Files: written whole or not at all, opened without trust."""
