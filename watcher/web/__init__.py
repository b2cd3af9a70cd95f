"""What the daemon serves over HTTP: one module per concern, each a function that returns its routes.

app       puts them together, with what every answer has in common
guard     security headers, errors as JSON
access    who may read and who may change
views     what can be seen and changed, as one value and a port; shapes: its parts as JSON
page      the status page, and the pages of an alert and of a rule; sections, charts: what they are drawn from
api       /api/v1, and openapi: its description
health    /healthz and /readyz
scrape    /metrics
hooks     /hooks/agora and /hooks/look; hooks_vonage: /hooks/vonage

What a module shows comes in as a callable or a port, so that nothing here knows the daemon's parts (design, sections 3
and 8).
"""

from watcher.web.access import Access
from watcher.web.app import build_probes, build_web
from watcher.web.health import ReadyReport
from watcher.web.shapes import NewAck, NewSilence
from watcher.web.views import Views

__all__ = ["Access", "NewAck", "NewSilence", "ReadyReport", "Views", "build_probes", "build_web"]
