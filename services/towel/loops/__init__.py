"""The loops of the towel, one module each."""
