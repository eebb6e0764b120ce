"""The leaderboard's refresh, in steps that can be run again.

``leaderboard.toml`` says of what (`evalkit.refresh.config`); the window follows from the day, so that every
step of one refresh, and a refresh that is repeated, means the same corpora. Each step does what is missing:

* fetch: texts of earlier windows that the store lacks, from the dataset repository if there is one;
* crawl: a corpus per source into the corpus store;
* publish: those that pass the gates (`evalkit.corpora.gates`), against their source's previous window if any;
  of each ``<results>/corpora/<name>/`` gets the manifest, the profile for the next window and a row per
  document (address, date, license, digest; no text), and ``<results>/cells/<name>/`` the
  manifest for the site; their texts go to the dataset repository (`evalkit.refresh.dataset`);
* score: the published ones, into ``<results>/cells``; backfill: a new model on those of all windows;
* prune: older windows' cells lose the bits of tokens (`evalkit.refresh.token_bits`);
* site: from all cells, with the plots;
* commit: what is new in the results.
"""
