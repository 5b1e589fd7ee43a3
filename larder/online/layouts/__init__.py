"""How values lie in Redis: as packed records or as the hashes of Feast's own store; and the way to the former."""
