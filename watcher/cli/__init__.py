"""Commands and exit codes, nothing else: 0 done, 1 a check failed, 2 bad usage or configuration.

With `--json`, stdout is exactly one JSON document and all else goes to stderr (design, section 8).
What a command needs is imported inside it, so that `--help` and `check` stay quick.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import click

from watcher import __version__
from watcher.cli import alerts, asking, checking, daemon, emulation, history

__all__ = ["main"]

SECTIONS: Mapping[str, Sequence[click.Command]] = {
    "Try it": (emulation.demo, emulation.emulate),
    "Set it up": (checking.check, checking.plan, checking.test_rules, daemon.notify),
    "Run it": (daemon.run, alerts.alerts, alerts.ack, alerts.silence, history.explain, asking.call, asking.groups),
    "Learn from history": (history.export, history.backtest),
}
"""Every command once, as `--help` lists them: in the order in which somebody new needs them."""


class _Sections(click.Group):
    """A group whose help lists its commands by section; click's own list is alphabetical."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(len(command.name or "") for commands in SECTIONS.values() for command in commands)
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                rows = [((c.name or "").ljust(width), c.get_short_help_str(limit=160)) for c in commands]
                formatter.write_dl(rows)


@click.group(cls=_Sections, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__)
def main() -> None:
    """Real-time call-quality alerting for Agora, Vonage Video and Twilio Video.

    Polls the vendors' quality APIs inside each plan's request budget, judges every window against rules in YAML, pages
    on-call staff through Apprise and exports everything to Prometheus.

    \b
    New here?     watcher demo
    Configuring?  watcher check -c config.yaml    (start from config.example.yaml)
    """


for section in SECTIONS.values():
    for command in section:
        main.add_command(command)
