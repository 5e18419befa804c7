"""A page in the browser that asks a run about one row: an image, a sound, a text, a question."""
