"""Who acts, and what they may do (R83).

* `identities`: identities, their roles and rights.
* `role_values`: the roles that the identity provider's values give.
* `provider`: the identity provider: discovery, sign-in, sign-out (OpenID Connect).
* `id_tokens`: verification of its ID tokens.
* `errors`: why a sign-in fails.
"""
