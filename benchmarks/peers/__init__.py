"""One module a peer. Each has ``prepare(job)``, which returns the call that is timed."""
