"""Images, from a stored file to a model's input: decode, check, augment, normalise."""
