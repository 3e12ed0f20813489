"""Requests made up from the OpenAPI document, for every operation of every service, through the gateway.

`make fuzz` starts a platform of its own and drives it over several connections; tests/test_fuzz.py does it in small.
Each request is one of four kinds (cases.Kind): sound ones about real things, ones that the document allows about real
things, ones that it allows, and ones that it does not. What any of them is answered must be what the document promises
(answers.py), and afterwards the platform must be as well as before (aftermath.py).
"""
