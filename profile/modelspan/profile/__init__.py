"""Profiles: what a reference is, built and written by anyone, read by the service."""
