"""Files and folders that are there whole or not at all, whatever kills the process that writes them."""
