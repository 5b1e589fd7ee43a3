"""Records and keys as bytes: what lies in Redis, written a batch at a time and read one by one."""
