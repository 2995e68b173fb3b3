"""Records merged from change events, and the chains that links join them into.

* `records`: a record is a row of either system, merged column by column from the events about it.
* `links`: which records belong to one document line, and which rows they reference.
* `references`: the rows that many documents share: companies, currencies, calendars, headers, projects.
* `explain_event`: what the maps make of one event, for authors of map files.
"""
