"""Independent tasks, wherever they are computed: what the launchers are made of."""
