"""Attacks on the daemon, and the nine promises of the README that it is held against after each."""
