"""Planning and requesting repairs.

* `planning`: which documents need which action, from the store.
* `previews`: a preview of a sync, and its confirmation.
* `requests`: sync requests of people and of the recurring job.
* `command_topic`: writes requests to the commands topic.
* `document_sync`: executes the actions on documents; the handler of each action.
* `error_retry`: retries the process of an error.
* `general_journals`: general journals for workers, commands and pages.
* `row_refresh`: reads rows again that notices name.
* `connectors`: Finance and Dataverse as the settings describe them, and what Sync needs in both.
"""
