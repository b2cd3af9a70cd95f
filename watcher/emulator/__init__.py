"""The vendors' servers, for the demo, the tests and game days.

Written from the vendors' dossiers alone and never importing `watcher.providers`, `watcher.rules` or `watcher.budget`:
a misreading in the client is to be caught by the emulator, and the other way round.

`scenario` reads what shall happen, `traffic` says what every 20-second window measured, `agora` answers requests.
`faults`, `counting` and `replies` know no vendor: the Vonage and Twilio emulators stand on them too.
"""
