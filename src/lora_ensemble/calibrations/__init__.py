"""Calibrations, a file each: maps of predictions that are fitted to validation labels."""
