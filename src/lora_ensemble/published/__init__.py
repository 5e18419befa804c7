"""What the cells of each published table share; recipes fill in the rest."""
