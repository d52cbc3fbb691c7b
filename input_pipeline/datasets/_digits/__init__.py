"""What draws the scenes and movies of handwritten digits."""
