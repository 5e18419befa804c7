"""Cross-validation: a run for each fold of a data set, and all test rows as one result."""
