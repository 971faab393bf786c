"""Holds ffspool, an FFmpeg batch transcoding daemon for one Linux host."""
