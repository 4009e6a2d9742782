"""The study: profiles, cells, runs, results, verdicts and the site made of them."""
