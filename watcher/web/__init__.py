"""What the daemon serves over HTTP: one module per concern, each a function that returns its routes.

app       puts them together, with what every answer has in common
guard     security headers, errors as JSON
health    /healthz and /readyz
scrape    /metrics
api       /api/v1: alerts, silences, acknowledgements
hooks     /hooks/agora and /hooks/look; hooks_vonage: /hooks/vonage

The status page joins as a further module: a `routes(...)` function and a line in `app`. What
a module shows comes in as a callable, so that nothing here knows the daemon's parts (design, sections 3 and 8).
"""

from watcher.web.api import Actions, NewAck, NewSilence
from watcher.web.app import build_web
from watcher.web.health import ReadyReport

__all__ = ["Actions", "NewAck", "NewSilence", "ReadyReport", "build_web"]
