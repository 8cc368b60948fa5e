"""What all tests share: how properties are searched.

A slow moment of a busy machine is no failure, so examples have no deadline; in CI the search is the same each time, so
that a red build can be repeated. Elsewhere it looks in new places with every run.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

settings.register_profile("dwf", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", parent=settings.get_profile("dwf"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "dwf")
