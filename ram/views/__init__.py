"""What an engineer looks at: the report of a run and its pictures."""
