"""Runs tasks for the engine, at least once each, and serves what tasks leave behind."""
