"""Experiments, decisions and rewards: their meaning and rules, without any input or output. Standard library only."""
