"""Campaign, metrics, judge and verdict."""
