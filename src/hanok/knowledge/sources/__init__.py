"""Where documents come from, one file for each kind of place; `table` knows them all.

`load_path` reads files, `load_handbook` Hanok's own documentation, `uri_client` what fsspec reads, `page_client` and
`sitemap_client` the web, `git_launch` repositories. What they list is drawn through the same sieve (`choice`, `globs`)
and becomes entries in one place (`listing`). Nothing is imported before a source of its kind is opened.
"""
