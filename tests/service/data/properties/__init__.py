"""Generated databases and documents, and a plain evaluation of the one over the other. Called by test_properties."""
