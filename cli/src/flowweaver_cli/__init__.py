"""The program `flowweaver`: a supervisor that runs the whole platform on one machine, and a client of its API."""
