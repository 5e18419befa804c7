"""Run folders: train an experiment into one, and take its ensemble and predictions out of it."""
