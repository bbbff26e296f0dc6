"""What several files of this folder need."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, and an environment without options."""
    for name in [name for name in os.environ if name.startswith("ASYNCDQ_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path
