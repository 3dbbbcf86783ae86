"""Experiments, and the folders that hold their executions."""
