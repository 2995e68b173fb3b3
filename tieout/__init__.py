"""tieout continuously reconciles Finance and Dataverse in Project Operations: command line, worker and workspace.

* `cli`: the command line.
* `worker`: the long-running process.
* `workspace`: the web pages.
* `sync`: plans and requests what Sync does.
* `maintenance`: what an operator runs.
* `simulator`: simulated companies and a simulated Finance and Dataverse.
* `settings`, `bootstrap`, `logging`: configuration, wiring, logs.
* `presenters`: JSON objects that several surfaces show.
* `demo_content`, `pair_service`: the demonstration and its simulated pair.
"""
