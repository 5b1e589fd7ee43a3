"""From entity rows to what a retrieval answers: asked for, pinned, read, and made into request-time features."""
