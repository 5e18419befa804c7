"""What calibrations are made of: searches, maps of a pool, and how members follow their pool."""
