"""A bundle as one HTML file that opens offline, in English and Chinese."""
