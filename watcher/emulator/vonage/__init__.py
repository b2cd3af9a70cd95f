"""Vonage Video's servers: Insights and Advanced Insights (GraphQL), the REST calls a monitor needs, and its webhooks.

Written from the vendor's dossier alone. `scenario` reads what shall happen (its format: `shapes`), `world` says what
that is, `sessions` and `life` who was in which call when, `samples` what each stream measured every 30 seconds,
`daily` what the nightly figures say, `view` how much of it the API shows yet. `tokens` knows who asks; `graph` answers
GraphQL (through `resolvers`, `pages`, `nodes`, `fast` and `bend`), `rest` the REST calls; `hooks` posts the events;
`meter` and `handed` keep the books; `api` decides what each request gets, and `server` puts it behind one ASGI app.
"""
