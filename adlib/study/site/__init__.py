"""The HTML report: `adlib report` builds it from what lies in the results folder.

`adlib.study.summary` reads the tree into data frames, `verdicts` puts the published values beside
ours, `conclusions` and `beyond` say what follows. Here `tables`, `scoreboard` and `sections` lay
them out, `notebooks` renders executed notebooks, `front` and `pages` write the site.
"""
