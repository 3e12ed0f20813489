"""A small Korean shop: a real HTTP site from one data file, for the embedded default and for tests."""
