"""Agora's analytics servers: real-time monitoring, Call Inspector and Data Insights.

Written from the vendor's dossier alone. `server` puts it behind one ASGI app and `api` decides what each request gets,
with `gate` for who may ask how often. Each family has a module that reads its requests (`realtime_ask`,
`inspector_ask`, `insight_ask`) and one that answers (`realtime`, `inspector`, `insight`). The world behind them is one:
`emulator.traffic` says what every 20 seconds measured, `seats` which user of a channel had which part of it, `calls`
who was in which call when, `spread` what a call's users had in common, `samples` what a session reported every two
seconds.
"""

from watcher.emulator.agora.server import Emulator, build_agora

__all__ = ["Emulator", "build_agora"]
