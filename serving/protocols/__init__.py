"""What clients of other model servers send, turned into this server's requests, and its answers into theirs."""
