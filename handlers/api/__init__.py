"""HTTP access to Finance and Dataverse.

* `connection`: one API as one user: authorisation, limits, one retry after a refused token.
* `bounded_exchange`: limits on the size and duration of each response.
* `tokens`: access tokens of Microsoft Entra ID, by MSAL.
* `service_limits`: the service protection limits, observed on the client side.
* `classify`: maps a response, or its absence, to one of `handlers.errors`.
* `secrets`: redaction of secrets in texts.
* `odata`, `entity_sets`: addresses, pages and entity set names that both APIs share.
* `dataverse`, `finance`: the two APIs.
"""
