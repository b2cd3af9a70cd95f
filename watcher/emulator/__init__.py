"""The vendors' servers, for the demo, the tests and game days.

Written from the vendors' dossiers alone and never importing `watcher.providers`, `watcher.rules` or `watcher.budget`:
a misreading in the client is to be caught by the emulator, and the other way round.

Agora: `scenario` reads what shall happen, `traffic` says what every 20-second window measured, the package `agora`
answers; Vonage and Twilio are packages of their own. What knows no vendor is shared by all:
`settings`, `faults` and `day` read scenarios, `chance`, `dice` and `grid` draw, `headers` read a request, `breakage`
and `replies` answer or fail to, `counting` and `meter` keep count.
"""
