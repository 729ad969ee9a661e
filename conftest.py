"""Keep run folders and wheels out of collection; everything else comes from the installed plugin."""

from __future__ import annotations

collect_ignore_glob = ["runs/*", "dist/*"]
