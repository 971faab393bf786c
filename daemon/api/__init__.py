"""Answers over HTTP, with one noun per file; nothing here decides what a verb means."""
