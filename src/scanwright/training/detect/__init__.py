"""Detection: windows with boxes, targets on cells, losses, the race and the exported network."""
