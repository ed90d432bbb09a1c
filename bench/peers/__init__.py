"""The servers that ours is measured beside, each installed on demand and each optional."""
