"""Operations that an operator runs.

* `health_checks`: `tieout check`.
* `migrate`: creates and upgrades the store and the topics.
* `ingest`, `synapse`: events from files to the topics.
* `rejected_topic`: events that could not be decoded, and their resubmission.
* `replay`, `rebuild`: rebuilds the store from the topics, compares, swaps.
* `verify`: compares the store with a rebuild from the topics.
* `offset_check`: compares committed offsets with the effects in the store.
* `backup`: copies an embedded installation, and restores it.
* `map_files`: loads the map files of an environment.
* `topic_reader`: reads a topic to its end, and follows it.
"""
