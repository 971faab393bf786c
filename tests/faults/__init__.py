"""Attacks on the daemon, and the ten promises of docs/promises.md that it is held against after each."""
