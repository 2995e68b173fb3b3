"""Decoded events, before any map is applied.

* `facts`: row changes, deletions, completeness marks and process messages, as the codecs return them.
* `notices`: events that were truncated or carry keys only, so that their row must be read again.
"""
