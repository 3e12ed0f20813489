"""The engine in a world of its own: real `app`, `loops`, `engine` and `storage`, simulated time, broker and workers.

One seed is one history: every delay, loss and crash is drawn from it, so that a failure can be had again.
"""
