"""Attacks on the daemon, and the nine promises of docs/promises.md that it is held against after each."""
