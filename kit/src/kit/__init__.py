"""Domain-free plumbing that every FlowWeaver service needs.

A module comes in only when two services need it now; none knows a domain noun, a service or a stub.
"""
