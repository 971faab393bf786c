"""The HTTP API: one noun per file, nothing here decides what a verb means."""
