"""What all pages share.

* `context`: company, window, business date and tabs of a page.
* `grid_state`, `grid_columns`: the address of a grid, and its columns.
* `form_input`, `posted_form`: what people type, and the bodies of forms.
* `locales`: formats of numbers, dates and times.
* `csv_export`, `streaming`, `rendering`: files, streamed responses, templates.
* `charts`: charts as SVG.
* `deep_links`: addresses of records in Finance and Dataverse.
* `refresh_diff`: what changed since the page was last loaded.
* `concurrency_limit`, `security`: limits for clients, and security headers.
* `proxies`: forwarded headers of reverse proxies.
* `identity`, `sign_in`: who a request is of, and how people sign in.
* `route_rights`, `guarded_routes`, `event_rights`: which right each route and each raw event needs.
"""
