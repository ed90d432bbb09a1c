"""URLs and the translation of driver errors."""
