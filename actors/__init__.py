"""Ray shells: receive, step, save, act. Where decisions meet the world."""

import os

# Ray reads these while it is imported and hands them on to every process that it starts, so they must stand before
# the first import of it, wherever that is. The token itself may come later (`actors.cluster`).
os.environ["RAY_AUTH_MODE"] = "token"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
