"""Rules without I/O: which keyword, which product, how similar, what an article may say.

trend.py        which keyword is next
matching.py     does a title fit a keyword
similarity.py   how near are a keyword and a title
retrieval.py    which facts matter for an article
figures.py      does every figure of a text stand in a source
writer.py       an article from a product's own facts
"""
