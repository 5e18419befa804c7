"""Many runs as one result: over seeds, over the values of a field, over folds."""
