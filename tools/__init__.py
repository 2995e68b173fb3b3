"""Maintenance scripts of the repository. Not packaged."""
