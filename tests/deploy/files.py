"""Where the deployment files lie, and the programs that judge them."""

from __future__ import annotations

from pathlib import Path

from tests.real.processes import program

ROOT = Path(__file__).parent.parent.parent
DEPLOY = ROOT / "deploy"

__all__ = ["DEPLOY", "ROOT", "program"]
