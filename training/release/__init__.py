"""Which version answers: challengers in shadow, promotions, watches and rollbacks, each one entry of the ledger."""
