"""Twilio's Video Log Analyzer as a server: rooms that are over, who was in them, and how each stay ended.

Written from the vendor's dossier alone. `scenario` reads what shall happen (its format: `shapes`), `world` says what
that is, `endings` knows the vendor's words for how a stay ends, `rooms` and `life` say who was in which room when,
`view` how much of it the API shows yet, `records` how a row reads. `ask` reads requests, `gate` knows who asks,
`refusals` says no, `bend` spoils rows, `books` keeps count; `api` decides what each request gets, `server` puts it
behind one ASGI app.
"""
