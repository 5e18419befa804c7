"""Where rows come from: the hub, parquet files, tables, pickles; and how they are divided into splits."""
