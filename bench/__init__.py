"""Measurements of the real daemon, printed and never asserted."""
