"""Commands and exit codes, nothing else."""

from __future__ import annotations

import click


@click.group()
def main() -> None:
    """Real-time call-quality alerting."""
