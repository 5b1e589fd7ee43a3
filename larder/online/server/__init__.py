"""The Redis server: addresses and time-outs, the embedded server, whether a server is fit to hold features."""
