"""Map files: the assignment of entities and columns to roles and fields.

* `roles`: the roles of records, with their fields.
* `files`: map files as written, and the overlay of an environment.
* `compiler`: validates map files and compiles them into the form that the rules use.
* `values`: normalises the values of events.
"""
