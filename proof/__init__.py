"""Proofs that take minutes: `make proof-...` runs one and keeps what it printed in docs/."""
