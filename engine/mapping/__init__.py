"""Map files: which entity and column of an environment feeds which field.

* `roles`: the roles a record can have, with their fields.
* `files`: map files as they are written, and overlays of an environment.
* `compiler`: compiles map files into the form that the rules use, and validates them.
* `values`: normalises the values of events.
"""
