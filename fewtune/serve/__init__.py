"""Bundles over HTTP: a REST API that batches what is asked at the same time, and a page to try it."""
