"""Label maps: windows of prepared cases to weights."""
