"""Real faults on the real platform: two execution-services, two workers, a broker, a gateway and a MariaDB under load.

Processes are killed, stopped and ended at random, the broker's data is deleted, MariaDB is restarted; afterwards every
accepted run must have ended, each output recorded once, and every repeated effect explained by the effect ledger.
"""
