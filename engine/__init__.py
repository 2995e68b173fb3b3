"""What keeps two business systems tied out, as pure values and functions.

No broker, no database, no clock: everything here is a function of the change events it is given.

* `changes`, `maps`, `records`: what an event says, what it means in this environment, and the merged row it makes.
* `links`, `references`: which records belong to one document line, and the rows they point to.
* `facts`, `positions`, `findings`: the documents of a chain, where each stands and why, and what is wrong with it.
* `explanations`, `messages`: the words for it.
* `calendar`, `money`: ledger periods and exact amounts.
"""
