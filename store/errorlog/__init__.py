"""The error log in the store.

* `error_log`: its queries and deletions.
* `error_states`: the status of each subject as published on the errors topic.
"""
