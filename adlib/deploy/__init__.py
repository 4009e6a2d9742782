"""A detector for images of one's own: train, calibrate, score, export."""
