"""Shifts: one file each, what may be wrong with the rows that come one day. See `contracts.Shift`."""
