"""The HTML report: `adlib report` builds it from what lies in the results folder.

`adlib.study.summary` reads the tree into data frames, `verdicts` puts the published values beside
ours, `tables` lays the rows out, `claims` and `beyond` make sentences of them, `notebooks` renders
executed notebooks, `pages` writes the site.
"""
